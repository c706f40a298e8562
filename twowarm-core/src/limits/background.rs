use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::receive::{Closed, receive};

/// Work on a thread that can be abandoned: a system call that hangs in the kernel can't be interrupted.
/// Dropping this abandons the thread, which ends with the work or with the process.
#[derive(Debug)]
pub struct Background<T> {
    result: Receiver<T>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts the work.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Background<T>> {
        let (sender, result) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            // The receiver is gone if the work was abandoned.
            let _ = sender.send(work());
        })?;
        Ok(Background { result })
    }

    /// The result, or `None` if the work is not done within `limit`; then this can be called again.
    ///
    /// # Panics
    /// If the work panicked, or if the result was already returned.
    pub fn wait(&mut self, limit: Duration) -> Option<T> {
        self.try_wait(limit).unwrap_or_else(|Closed| panic!("work on another thread panicked"))
    }

    pub(super) fn try_wait(&mut self, limit: Duration) -> Result<Option<T>, Closed> {
        receive(&self.result, limit)
    }
}

/// Does the work on a thread and abandons it if it takes longer than `limit`. Returns `None` then, and if
/// the work panicked.
///
/// # Errors
/// If no thread can be started.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    Ok(Background::start(work)?.try_wait(limit).ok().flatten())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_that_exceeds_its_limit_is_abandoned() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), Some(7));
        let (_never, blocked) = mpsc::channel::<()>();
        let start = Instant::now();
        assert_eq!(within(Duration::from_millis(50), move || blocked.recv()).unwrap(), None);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_result_that_is_not_ready_can_be_waited_for_again() {
        let (go, blocked) = mpsc::channel::<u8>();
        let mut work = Background::start(move || blocked.recv().unwrap()).unwrap();
        assert_eq!(work.wait(Duration::from_millis(10)), None);
        go.send(7).unwrap();
        assert_eq!(work.wait(Duration::from_secs(60)), Some(7));
    }

    #[test]
    #[should_panic(expected = "work on another thread panicked")]
    fn a_panic_of_the_work_is_not_a_timeout() {
        let mut work = Background::start(|| panic!("as a bug would")).unwrap();
        let () = work.wait(Duration::from_secs(60)).unwrap_or_default();
    }
}
