use std::time::Duration;

/// The first message about a long wait comes after this time, each later one after twice the time.
pub(super) const FIRST_REMINDER: Duration = Duration::from_secs(60);
/// The longest time between two of these messages.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// When a message about a long wait is due.
#[derive(Debug)]
pub(super) struct Reminder {
    next: Duration,
    silence: Duration,
}

impl Reminder {
    /// First due after `next`, then after `silence`, then after twice the time, and so on.
    pub(super) fn new(next: Duration, silence: Duration) -> Reminder {
        Reminder { next, silence }
    }

    pub(super) fn is_due(&mut self, waited: Duration) -> bool {
        let is_due = waited >= self.next;
        if is_due {
            self.next = waited + self.silence;
            self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        }
        is_due
    }
}
