use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use super::run::{failed, rsync};
use super::{Remote, RsyncError};

/// What became of a file that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was stored.
    New,
    /// A file of that name exists and is unchanged.
    Exists,
}

/// Copies one file to the node, into a directory that exists. rsync writes it under another name, renames it, and
/// with `fsync` waits until it is on disk. An existing file is never replaced.
///
/// # Errors
/// If rsync can't be started or fails.
pub fn put(remote: &Remote, from: &Path, to: &Path, fsync: bool) -> Result<Put, RsyncError> {
    let mut command = rsync(remote)?;
    // With the whole path as its target, rsync does not create a missing directory.
    command.args(["--ignore-existing", "--times", "--sparse", "--compress", "--out-format=%n"]);
    if fsync {
        command.arg("--fsync");
    }
    command.arg("--").args([OsString::from(from), remote.argument(to)]).stdin(Stdio::null());
    let output = command.output().map_err(RsyncError::Start)?;
    if output.status.success() {
        return Ok(if output.stdout.is_empty() { Put::Exists } else { Put::New });
    }
    let messages = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    Err(failed(remote, output.status, messages))
}
