use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::receive::receive;

/// Work on a thread that can be abandoned: a system call that hangs in the kernel can't be interrupted.
/// Dropping this abandons the thread, which ends with the work or with the process.
#[derive(Debug)]
pub(crate) struct Background<T>(Receiver<T>);

impl<T: Send + 'static> Background<T> {
    pub(crate) fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Background<T>> {
        let (sender, result) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            // The receiver is gone if the work was abandoned.
            let _ = sender.send(work());
        })?;
        Ok(Background(result))
    }

    /// The result, or `None` if the work is not done within `limit` or panicked.
    pub(crate) fn wait(&self, limit: Duration) -> Option<T> {
        receive(&self.0, limit).ok().flatten()
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
    Ok(Background::start(work)?.wait(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_exceeds_its_limit_is_abandoned() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), Some(7));
        let (_never, blocked) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(50), move || blocked.recv()).unwrap(), None);
    }
}
