use std::fmt;
use std::path::Path;
use std::process::{Command, Output};

/// An error of the testbed, as a text for the person who reads the failed test.
///
/// `Debug` prints the same text, so that the panic of an `unwrap` shows a server's log line by line.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct BedError(pub String);

impl fmt::Debug for BedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BedError {
    /// An I/O error with the operation and the file.
    pub(super) fn io<'a>(
        doing: &'a str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> BedError + 'a {
        move |error| BedError(format!("could not {doing} {}: {error}", path.display()))
    }
}

/// Runs a command and returns its standard output. An exit code other than 0 is an error with all of its output.
pub fn finish(command: &mut Command) -> Result<String, BedError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| BedError(format!("could not run {program}: {error}")))?;
    let Output { status, stdout, stderr } = output;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    Err(BedError(format!("{program} failed ({status}):\n{stdout}{stderr}")))
}
