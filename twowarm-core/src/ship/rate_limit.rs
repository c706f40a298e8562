use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::FILE_CHUNK;

/// A limit on the speed of sending. Clones share it, so that several connections together keep to it.
#[derive(Clone)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When everything that was sent so far would have been sent at exactly this speed.
    free_at: Arc<Mutex<Instant>>,
}

impl RateLimit {
    /// A limit in bytes per second; `None` if it is 0.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<RateLimit> {
        let free_at = Arc::new(Mutex::new(Instant::now()));
        (bytes_per_second > 0).then_some(RateLimit { bytes_per_second, free_at })
    }

    /// How many bytes of data a frame has: at most what takes half a second, so that the receiver sees progress.
    pub(super) fn frame(&self) -> usize {
        usize::try_from(self.bytes_per_second / 2).unwrap_or(FILE_CHUNK).clamp(512, FILE_CHUNK)
    }

    /// Waits until this many bytes may be sent.
    pub(super) fn wait_for(&self, bytes: usize) {
        let wait = self.reserve(bytes, Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
    }

    /// Accounts for bytes that are to be sent, and returns the time until they may be.
    fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now.max(*free_at);
        *free_at = start + takes;
        start - now
    }
}

/// Without the moment, so that equal limits of two processes print the same.
impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimit({})", self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_keep_to_one_limit() {
        assert!(RateLimit::new(0).is_none());
        let limit = RateLimit::new(1000).unwrap();
        let now = *limit.free_at.lock().unwrap();
        assert_eq!(limit.reserve(500, now), Duration::ZERO);
        assert_eq!(limit.clone().reserve(1000, now), Duration::from_millis(500));
        assert_eq!(limit.reserve(1, now), Duration::from_millis(1500));
        // Time without sending is not saved up.
        let later = now + Duration::from_secs(10);
        assert_eq!(limit.reserve(2000, later), Duration::ZERO);
        assert_eq!(limit.reserve(1, later), Duration::from_secs(2));
    }

    #[test]
    fn a_frame_takes_at_most_half_a_second() {
        let frame = |rate| RateLimit::new(rate).unwrap().frame();
        assert_eq!(frame(100_000), 50_000);
        assert_eq!((frame(1), frame(u64::MAX)), (512, FILE_CHUNK));
    }
}
