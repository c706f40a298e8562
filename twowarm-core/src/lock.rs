//! Locks of files and directories. The kernel removes them when the process ends.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
#[cfg(feature = "server")]
use std::thread;
#[cfg(feature = "server")]
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::file_error::FileError;

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InUse {
    /// Another process has locked it.
    #[error("a base copy, configStandby, flushPrimary or triggerStandby is using \"{}\"", .0.display())]
    Locked(PathBuf),
    /// It can't be opened or locked.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Opens a file that is only locked, and creates it if it is missing.
pub(crate) fn open_lock_file(path: &Path) -> Result<File, FileError> {
    // Also for reading: NFS requires it for a shared lock, and writing for an exclusive one.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(FileError::of("open", path))
}

/// Locks a file; waits while another process has locked it.
pub(crate) fn lock(file: File, path: &Path) -> Result<Flock<File>, FileError> {
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| FileError::of("lock", path)(e))
}

/// Locks a file. `None` if another process has locked it.
pub(crate) fn try_lock(file: File, path: &Path) -> Result<Option<Flock<File>>, FileError> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, e)) => Err(FileError::of("lock", path)(e)),
    }
}

fn open_directory(directory: &Path) -> Result<File, FileError> {
    File::open(directory).map_err(FileError::of("open", directory))
}

/// Locks a directory until the lock is dropped or the process ends. Nothing is written for that.
///
/// # Errors
/// If another process has locked it, or it can't be opened.
pub fn lock_directory(directory: &Path) -> Result<Flock<File>, InUse> {
    let locked = try_lock(open_directory(directory)?, directory)?;
    locked.ok_or_else(|| InUse::Locked(directory.into()))
}

/// As [`lock_directory`], but waits until no other process has locked it.
#[cfg(feature = "ship")]
pub(crate) fn wait_for_turn(directory: &Path) -> Result<Flock<File>, FileError> {
    lock(open_directory(directory)?, directory)
}

/// What the far end of a command that was killed or interrupted needs to notice it and to end.
#[cfg(feature = "server")]
pub(crate) const ENDING: Duration = Duration::from_secs(10);

#[cfg(feature = "server")]
const POLL: Duration = Duration::from_millis(20);

/// As [`lock_directory`], but waits that long for another process to release the lock.
///
/// # Errors
/// If another process still has it locked after `limit`, or it can't be opened.
#[cfg(feature = "server")]
pub(crate) fn wait_for_lock(directory: &Path, limit: Duration) -> Result<Flock<File>, InUse> {
    let begun = Instant::now();
    loop {
        match lock_directory(directory) {
            Err(InUse::Locked(_)) if begun.elapsed() < limit => thread::sleep(POLL),
            ended => return ended,
        }
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_released_in_time_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let held = lock_directory(path).unwrap();
        let locked = wait_for_lock(path, Duration::from_millis(1));
        assert!(matches!(locked, Err(InUse::Locked(_))));
        let waiting = thread::spawn({
            let path = path.to_owned();
            move || wait_for_lock(&path, Duration::from_secs(60)).map(|_| ())
        });
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
