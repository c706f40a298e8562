use std::thread::sleep;
use std::time::{Duration, Instant};

use super::BedError;

/// How often a condition is checked.
const PERIOD: Duration = Duration::from_millis(10);

/// How long a test waits for what should happen soon, unless it sets another limit.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a probe of [`wait_until`] returns: a `bool`, or an `Option` whose value is passed on.
pub trait Answer {
    /// The result of the wait.
    type Value;
    /// The value, once there is one.
    fn value(self) -> Option<Self::Value>;
}

impl Answer for bool {
    type Value = ();
    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Value = T;
    fn value(self) -> Option<T> {
        self
    }
}

/// Calls `probe` until it returns true or a value. After `limit` fails with "timed out after 5 s waiting for
/// {what}". No other function for tests sleeps.
pub fn wait_until<A: Answer>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> A,
) -> Result<A::Value, BedError> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe().value() {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            return Err(BedError(format!("timed out after {limit:?} waiting for {what}")));
        }
        sleep(PERIOD);
    }
}
