//! copyToStandby: makes a base copy of the running primary on the other node.

mod display;
mod signals;

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};

use twowarm_core::base_copy::{Callbacks, CopyLosses, Progress};
use twowarm_core::data_directory::check_owner;
use twowarm_core::node::{Caller, Install};

use self::display::Display;
use self::signals::HeldSignals;
use crate::command::{Command, Failure, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// copyToStandby as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "copyToStandby",
        arguments: "[--yes]",
        summary: "makes a base copy of the running primary on the other node",
        description: "Makes a base copy of the running primary on the other node. Run it on the primary, after \
                configStandby on the other node. It checks that WAL can be shipped there, turns shipping on, and \
                copies the cluster over the data directory there. Files there that are not part of the cluster \
                and would be deleted or overwritten are listed first, and you are asked; --yes answers yes.",
        options: &[(
            "--yes",
            "Delete or overwrite files that are not part of the cluster without asking.",
        )],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            OTHER_NODE,
            ("PGROOT/2warm/local/replication/archiving_active", "Created to turn shipping on."),
        ],
        see_also: &["configStandby(1)", "receiveBaseCopy(1)", "archiveWALFile(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let yes = match arguments {
        [] => false,
        [argument] if argument == "--yes" => true,
        _ => return Err(Failure::Usage("only --yes is accepted as an argument".into())),
    };
    // Before the node's id is created: one that belongs to another user would stop archiving.
    check_owner(install.require_pgdata()?)?;
    let copy = install.base_copy()?;
    let mut display = Display::new(&copy.reach.node);
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
    display.done();
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
