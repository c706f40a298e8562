use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::file_error::FileError;

/// Why a data directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InUse {
    /// Another process has locked it.
    #[error("another base copy or configStandby is using \"{}\"", .0.display())]
    Locked(PathBuf),
    /// It can't be opened or locked.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Locks a directory until the lock is dropped or the process ends. Nothing is written for that.
///
/// # Errors
/// If another process has locked it, or it can't be opened.
pub fn lock_directory(directory: &Path) -> Result<Flock<File>, InUse> {
    let file = File::open(directory).map_err(FileError::of("open", directory))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => InUse::Locked(directory.into()),
        other => FileError::of("lock", directory)(other).into(),
    })
}
