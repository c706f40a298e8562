use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Every;

/// The sending side of a channel was dropped.
#[derive(Debug)]
pub(crate) struct Closed;

/// The next message, or `None` if there is none within `limit`.
pub(crate) fn receive<T>(messages: &Receiver<T>, limit: Duration) -> Result<Option<T>, Closed> {
    match messages.recv_timeout(limit) {
        Ok(message) => Ok(Some(message)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(Closed),
    }
}

/// Handles messages until all senders are dropped. The handler is also called with `None`, once per
/// `interval`, and ends the loop by an error.
pub(crate) fn each_message<T, E>(
    messages: &Receiver<T>,
    interval: Duration,
    handle: &mut dyn FnMut(Option<T>) -> Result<(), E>,
) -> Result<(), E> {
    let mut ticks = Every::new(interval);
    loop {
        match receive(messages, interval) {
            Ok(Some(message)) => handle(Some(message))?,
            Ok(None) => {}
            Err(Closed) => return Ok(()),
        }
        if ticks.is_due() {
            handle(None)?;
        }
    }
}
