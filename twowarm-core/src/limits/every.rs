use std::time::{Duration, Instant};

/// Tells when something that is done once per interval is due again.
#[derive(Debug, Clone)]
pub struct Every {
    interval: Duration,
    last: Instant,
}

impl Every {
    /// Due for the first time one interval from now.
    #[must_use]
    pub fn new(interval: Duration) -> Every {
        Every { interval, last: Instant::now() }
    }

    /// Whether an interval has passed since this was last `true` or since [`reset`](Every::reset).
    pub fn is_due(&mut self) -> bool {
        let is_due = self.last.elapsed() >= self.interval;
        if is_due {
            self.reset();
        }
        is_due
    }

    /// Begins the interval again.
    pub fn reset(&mut self) {
        self.last = Instant::now();
    }
}
