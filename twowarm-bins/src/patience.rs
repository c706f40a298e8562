//! Waits that are logged.

use std::convert::Infallible;
use std::time::Duration;

use twowarm_core::limits::with_ticks;

/// How often a message says what is being waited for.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// Does the work, with a message every [`HEARTBEAT`] meanwhile.
pub(crate) fn patiently<T: Send>(waiting_for: &str, work: impl FnOnce() -> T + Send) -> T {
    let mut tick = || {
        log::info!("waiting for {waiting_for}");
        Ok::<(), Infallible>(())
    };
    let Ok(result) = with_ticks(HEARTBEAT, &mut tick, work);
    result
}
