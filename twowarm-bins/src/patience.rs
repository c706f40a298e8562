//! Waits that are logged.

use std::convert::Infallible;
use std::time::Duration;

use twowarm_core::limits::{Every, with_ticks};

/// How often a message says what is being waited for.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

const TICK: Duration = Duration::from_secs(1);

/// Does the work and calls `tick` once per second meanwhile. An error of `tick` is returned instead of the
/// result, as soon as the work is done.
pub(crate) fn meanwhile<T: Send, E>(
    waiting_for: &str,
    tick: &mut dyn FnMut() -> Result<(), E>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, E> {
    let mut heartbeat = Every::new(HEARTBEAT);
    let mut tick = || {
        tick()?;
        if heartbeat.is_due() {
            log::info!("waiting for {waiting_for}");
        }
        Ok(())
    };
    with_ticks(TICK, &mut tick, work)
}

/// Does the work, with a message every [`HEARTBEAT`] meanwhile.
pub(crate) fn patiently<T: Send>(waiting_for: &str, work: impl FnOnce() -> T + Send) -> T {
    let Ok(result) = meanwhile(waiting_for, &mut || Ok::<(), Infallible>(()), work);
    result
}
