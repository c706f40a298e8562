use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

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
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            Err(failed(remote, output.status, said))
        }
    }
}
