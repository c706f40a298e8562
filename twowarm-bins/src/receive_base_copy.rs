//! receiveBaseCopy: the far end of copyToStandby and copyToDR, started by sshd.

use std::ffi::OsString;
use std::time::Duration;

use twowarm_core::node::{Caller, Install};

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::far_end::connection;
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// The near end sends a message every few seconds during the copy. If it sends none for this long, it is
/// gone.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// receiveBaseCopy as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "receiveBaseCopy",
        arguments: "",
        summary: "receives the base copy that copyToStandby or copyToDR sends",
        description: "The far end of copyToStandby and copyToDR, started by sshd. It checks this node's data directory, makes sure \
                that no server can be started in it during the copy, and finishes the copy.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[ENVIRONMENT, SETTINGS],
        see_also: &["copyToDR(1)", "copyToStandby(1)", "sshd(8)"],
    },
    caller: Caller::FarNode,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, _arguments: &[OsString]) -> Result<u8, Failure> {
    let (input, output) = connection(TIME_LIMIT.max(install.settings.time_limit))?;
    install.copy_target()?.serve(input, output)?;
    Ok(DONE)
}
