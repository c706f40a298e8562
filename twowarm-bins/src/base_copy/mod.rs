//! What copyToStandby and copyToDR have in common.

mod display;
mod signals;

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};

use twowarm_core::base_copy::{Callbacks, CopyLosses, Progress, TargetRole};
use twowarm_core::data_directory::check_owner;
use twowarm_core::node::Install;

use self::display::Display;
use self::signals::HeldSignals;
use crate::command::{Failure, print};
use crate::exit_codes::DONE;

/// Their options.
pub(crate) const ARGUMENTS: &str = "[--dry-run] [--yes]";
pub(crate) const OPTIONS: [(&str, &str); 2] = [
    (
        "--dry-run",
        "Print what would be copied, overwritten and deleted, and change nothing on either node.",
    ),
    ("--yes", "Delete or overwrite files that are not part of the cluster without asking."),
];

/// Makes a base copy on the node that has this role.
pub(crate) fn run(
    install: &Install,
    arguments: &[OsString],
    role: TargetRole,
) -> Result<u8, Failure> {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let (dry_run, yes) = (has("--dry-run"), has("--yes"));
    if arguments.len() != usize::from(dry_run) + usize::from(yes) {
        return Err(Failure::Usage("only --dry-run and --yes are accepted as arguments".into()));
    }
    // Before the node's id is created: one that belongs to another user would stop archiving.
    check_owner(install.require_pgdata()?)?;
    let copy = install.base_copy(role, dry_run)?;
    let mut display = Display::new(&copy.reach.node, role);
    let callbacks = Callbacks {
        progress: &mut |progress| {
            display.show(progress);
            // The other node's recovery.conf is the same file; that node checks whether it is valid.
            if let Progress::Allowed { major, .. } = progress
                && let Ok(recovery) = install.recovery_source().read(major)
                && let Some(warning) = recovery.warning()
            {
                print(&format!("{warning}\n"));
            }
        },
        agree: &mut |losses| agrees(losses, yes),
        signals: &mut HeldSignals::default(),
    };
    copy.run(callbacks)?;
    display.done(dry_run);
    Ok(DONE)
}

/// Lists the files and asks, unless `yes` is the answer. Where there is no terminal, the answer is no.
fn agrees(losses: &CopyLosses, yes: bool) -> bool {
    if !yes && !io::stdin().is_terminal() {
        return false;
    }
    print(&format!(
        "Files in {} that are not part of the cluster will be lost: {}\n",
        losses.target, losses
    ));
    if yes {
        return true;
    }
    print("Type yes to continue: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
