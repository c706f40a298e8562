use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Fetching;

/// Only one process fetches at a time while recovery is not to end. In the data directory.
const LOCK: &str = ".twowarm_fetching.lock";

impl Fetching<'_> {
    /// In a failover: whether another process still fetches, as the last call may do, and perhaps this file. It gives
    /// up by itself after the time limit.
    pub(super) fn waits_for_another(&mut self) -> bool {
        const SPARE: Duration = Duration::from_secs(2);
        if !self.another_fetches() {
            let waited = self.other_since.take().is_some();
            if waited {
                // It may have fetched the file, or found that a place does not answer.
                self.update(|_| {});
            }
            return waited;
        }
        self.other_since.get_or_insert_with(Instant::now).elapsed() < self.time_limit + SPARE
    }

    /// Whether another process holds the lock. If not, this one does from now on.
    pub(super) fn another_fetches(&mut self) -> bool {
        if self.lock.is_some() {
            return false;
        }
        let path = self.data_directory.join(LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        // Without a lock a file may be fetched twice, which does no harm.
        let Ok(file) = opened else { return false };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                self.lock = Some(lock);
                false
            }
            Err((_, error)) => error == Errno::EWOULDBLOCK,
        }
    }
}
