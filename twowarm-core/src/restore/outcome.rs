use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use super::GiveUp;

/// How a restore_command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file was restored.
    Restored,
    /// There is no such file, for this reason.
    GaveUp(GiveUp),
    /// The server must stop, for this reason.
    Stopped(String),
    /// An exit code that the policy chose.
    Exit(u8),
}

/// restore_command's exit code if the file was restored.
pub(super) const RESTORED: u8 = 0;
/// If there is no such file. A server in standby mode asks again; any other ends recovery.
const NO_SUCH_FILE: u8 = 1;
/// If the server must stop. Every code from 1 to 125 would end its recovery.
pub(super) const STOP_SERVER: u8 = 200;

impl Outcome {
    /// The exit code that tells PostgreSQL so: 0, 1, or one above 125.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Outcome::Restored => RESTORED,
            Outcome::GaveUp(_) => NO_SUCH_FILE,
            Outcome::Stopped(_) => STOP_SERVER,
            Outcome::Exit(code) => *code,
        }
    }
}

/// Runs a restore_command, and returns the exit code for PostgreSQL. An error or a panic stops the server:
/// with the code that a panic has otherwise, 101, the server would end recovery and become a primary.
///
/// A reason to stop the server is written to standard error, which is the server's log.
///
/// ```
/// use std::process::ExitCode;
/// use twowarm_core::restore::{GiveUp, Outcome, restore_command};
///
/// let code = restore_command(|| Ok::<_, String>(Outcome::GaveUp(GiveUp::NotThere)));
/// assert_eq!(code, ExitCode::from(1));
/// let code = restore_command(|| Err("usage: restore ARCHIVE %f %p %r"));
/// assert_eq!(code, ExitCode::from(200));
/// ```
pub fn restore_command<E: fmt::Display>(command: impl FnOnce() -> Result<Outcome, E>) -> ExitCode {
    let outcome = match panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Stopped(error.to_string()),
        // The panic's message was written by the panic hook.
        Err(_) => return ExitCode::from(STOP_SERVER),
    };
    if let Outcome::Stopped(why) = &outcome {
        // Not eprintln!, which panics if standard error is closed.
        let _ = writeln!(io::stderr(), "the server must stop: {why}");
    }
    ExitCode::from(outcome.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_the_server() {
        let code = restore_command(|| -> Result<Outcome, String> { panic!("as a bug would") });
        assert_eq!(code, ExitCode::from(STOP_SERVER));
    }
}
