use std::time::{Duration, Instant};

use super::Fetching;
use crate::lock::{open_lock_file, try_lock};

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
        match open_lock_file(&path).and_then(|file| try_lock(file, &path)) {
            Ok(lock) => {
                self.lock = lock;
                self.lock.is_none()
            }
            // Without a lock a file may be fetched twice, which does no harm.
            Err(_) => false,
        }
    }
}
