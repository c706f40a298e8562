//! copyToStandby: makes a base copy of the running primary on the other node.

mod agreement;
mod display;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use twowarm_core::base_copy::{Callbacks, Progress};
use twowarm_core::data_directory::check_owner;
use twowarm_core::node::{Caller, Install};

use self::display::Display;
use self::signals::HeldSignals;
use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::Manual;

/// copyToStandby as a command.
pub(crate) const COMMAND: Command = Command {
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
            ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node."),
            ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node."),
            ("PGROOT/2warm/local/replication/othernode", "The host name of the other node."),
            ("PGROOT/2warm/local/replication/archiving_active", "Created to turn shipping on."),
        ],
        see_also: &["configStandby(1)", "receiveBaseCopy(1)", "archiveWALFile(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: fails,
    run,
};

/// copyToStandby's main.
pub fn main() -> ExitCode {
    COMMAND.main()
}

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
        agree: &mut |losses| agreement::ask(losses, yes),
        signals: &mut HeldSignals::default(),
    };
    copy.run(callbacks)?;
    display.done();
    Ok(DONE)
}
