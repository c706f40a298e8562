//! receiveBaseCopy: the far end of copyToStandby and copyToDR, started by sshd.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::TimedInput;

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
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

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if !arguments.is_empty() {
        return Err(Failure::Usage("too many arguments".into()));
    }
    // Not the handles of std: poll does not see what is in their buffers.
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let limit = TIME_LIMIT.max(install.settings.time_limit);
    install.copy_target()?.serve(TimedInput::new(input, limit), output)?;
    Ok(DONE)
}
