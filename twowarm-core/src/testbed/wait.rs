use std::thread::sleep;
use std::time::{Duration, Instant};

use super::BedError;

/// How often a condition is looked at: often enough that waiting adds nothing one would notice.
const PERIOD: Duration = Duration::from_millis(10);

/// How long tests wait for what should happen soon, where they have no limit of their own.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a probe of [`wait_until`] may say: a `bool`, or an `Option` whose value is then handed on.
pub trait Answer {
    /// What the wait ends with.
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

/// Looks again and again until `probe` answers; after `limit` fails with `what` in its text ("timed
/// out after 5 s waiting for {what}"). The one place where tests sleep.
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
