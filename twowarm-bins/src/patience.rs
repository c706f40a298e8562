//! Waiting for something that takes its time, and saying so.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the user hears what is being waited for.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

const TICK: Duration = Duration::from_secs(1);

/// Does some work beside a heartbeat; `tick` is called every second meanwhile, and its error ends the
/// wait as soon as the work is over.
pub(crate) fn meanwhile<T: Send, E>(
    waiting_for: &str,
    tick: &mut dyn FnMut() -> Result<(), E>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, E> {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || {
            let _ = done.send(work());
        });
        let mut last_said = Instant::now();
        loop {
            match is_done.recv_timeout(TICK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => {}
                // The scope hands its panic on.
                Err(RecvTimeoutError::Disconnected) => panic!("{waiting_for}: the work panicked"),
            }
            tick()?;
            if last_said.elapsed() >= HEARTBEAT {
                last_said = Instant::now();
                log::info!("waiting for {waiting_for}");
            }
        }
    })
}

/// The same where there is nothing else to do meanwhile.
pub(crate) fn patiently<T: Send>(waiting_for: &str, work: impl FnOnce() -> T + Send) -> T {
    let nothing: &mut dyn FnMut() -> Result<(), std::convert::Infallible> = &mut || Ok(());
    let Ok(result) = meanwhile(waiting_for, nothing, work);
    result
}
