use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::file_error::FileError;

/// A data directory that another copy, or configStandby, is at work on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum InUse {
    #[error("another base copy or configStandby is at work on {}", .0.display())]
    Busy(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Locks a directory until the lock is dropped or the process ends; nothing is written for that.
pub fn lock_directory(directory: &Path) -> Result<Flock<File>, InUse> {
    let file = File::open(directory).map_err(FileError::of("open", directory))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => InUse::Busy(directory.into()),
        other => FileError::of("lock", directory)(other).into(),
    })
}
