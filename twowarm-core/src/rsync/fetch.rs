use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::run::{failed, rsync};
use super::{Remote, RsyncError};

/// Copies one file from the node, by the same connection as a [`Transfer`](super::Transfer). Returns `false`
/// if it can't be read there.
///
/// # Errors
/// If rsync can't be started or fails.
pub fn fetch(remote: &Remote, from: &Path, to: &Path) -> Result<bool, RsyncError> {
    let mut command = rsync(remote)?;
    command.arg("--").args([remote.argument(from), OsString::from(to)]).stdin(Stdio::null());
    let output = command.output().map_err(RsyncError::Start)?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(23) => Ok(false),
        _ => Err(failure(remote, output.status, &output)),
    }
}

/// Copies the files of these names from a directory of the node into a directory of this one. Files larger
/// than `largest` bytes, and those that don't exist or can't be read, are left out. The names must not
/// contain characters of rsync's patterns.
///
/// # Errors
/// If rsync can't be started or fails.
pub fn fetch_small(
    remote: &Remote,
    from: &Path,
    names: &[String],
    largest: u64,
    to: &Path,
) -> Result<(), RsyncError> {
    let [mut from, mut to] = [remote.argument(from), OsString::from(to)];
    from.push("/");
    to.push("/");
    let mut command = rsync(remote)?;
    command.args(["-rL", "--filter=merge -"]).arg(format!("--max-size={largest}"));
    command.arg("--").args([from, to]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(RsyncError::Start)?;
    if let Some(mut pipe) = child.stdin.take() {
        let rules: String = names.iter().map(|name| format!("+ /{name}\n")).collect();
        // If rsync has exited already, its own message says more than this error.
        let _ = pipe.write_all(format!("{rules}- *\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(RsyncError::Start)?;
    match output.status.code() {
        Some(0 | 23 | 24) => Ok(()),
        _ => Err(failure(remote, output.status, &output)),
    }
}

fn failure(remote: &Remote, status: ExitStatus, output: &Output) -> RsyncError {
    let messages = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    failed(remote, status, messages)
}
