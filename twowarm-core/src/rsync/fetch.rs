use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::run::{failed, rsync};
use super::{Remote, RsyncError};

/// Brings one file from the node, the way a [`Transfer`](super::Transfer) goes there; false if it can't
/// be read there.
pub fn fetch(remote: &Remote, from: &Path, to: &Path) -> Result<bool, RsyncError> {
    let mut command = rsync(remote)?;
    command.arg("--").args([remote.place(from), OsString::from(to)]).stdin(Stdio::null());
    let output = command.output().map_err(RsyncError::Start)?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(23) => Ok(false),
        _ => Err(failure(remote, output.status, &output)),
    }
}

/// Brings the files of these names (in which no character is a pattern) from a directory of the node into one here, but for larger ones than
/// so many bytes. What is not there, or can't be read, is left out.
pub fn fetch_small(
    remote: &Remote,
    from: &Path,
    names: &[String],
    largest: u64,
    to: &Path,
) -> Result<(), RsyncError> {
    let [mut from, mut to] = [remote.place(from), OsString::from(to)];
    from.push("/");
    to.push("/");
    let mut command = rsync(remote)?;
    command.args(["-rL", "--filter=merge -"]).arg(format!("--max-size={largest}"));
    command.arg("--").args([from, to]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(RsyncError::Start)?;
    if let Some(mut pipe) = child.stdin.take() {
        let rules: String = names.iter().map(|name| format!("+ /{name}\n")).collect();
        // If it has ended already, its complaint tells more than this error would.
        let _ = pipe.write_all(format!("{rules}- *\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(RsyncError::Start)?;
    match output.status.code() {
        Some(0 | 23 | 24) => Ok(()),
        _ => Err(failure(remote, output.status, &output)),
    }
}

fn failure(remote: &Remote, status: ExitStatus, output: &Output) -> RsyncError {
    let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    failed(remote, status, said)
}
