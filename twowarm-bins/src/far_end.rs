//! What the commands at the far end of a connection, which sshd starts, have in common.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use twowarm_core::ship::TimedInput;

use crate::command::Failure;

/// stdin and stdout. Reading fails if nothing arrives for `limit`.
pub(crate) fn connection(limit: Duration) -> io::Result<(TimedInput<File>, File)> {
    // Not std's own handles: poll does not see the data in their buffers.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok((TimedInput::new(input, limit), output))
}

/// Refuses rsync, started with a key whose forced command is `command`: it waits for an answer, and `command` for a
/// greeting.
pub(crate) fn refuse_rsync(command: &str) -> Result<(), Failure> {
    let wanted = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
    let program = wanted.split_whitespace().next().unwrap_or_default();
    if program.rsplit('/').next() == Some("rsync") {
        let why = format!("this key is accepted only for {command}, not for rsync");
        return Err(Failure::Failed(why.into()));
    }
    Ok(())
}
