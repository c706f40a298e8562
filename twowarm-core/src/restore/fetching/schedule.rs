use crate::wal::WalFileName;

/// When the other archives are asked for a file that has not arrived. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The file.
    pub(super) name: WalFileName,
    /// When the next question is due.
    pub(super) next: u64,
    /// The time until the question after that.
    pub(super) interval: u64,
    /// Whether they were asked after a gap was found in this node's archive.
    pub(super) gap: bool,
}

/// A segment that does not arrive within this time is asked for.
const FIRST: u64 = 3_000;
/// The longest time between two questions.
const LONGEST: u64 = 60_000;

impl Schedule {
    /// For a file that is missing now. A segment usually arrives by itself; a history file exists or does not.
    pub(super) fn new(name: WalFileName, now: u64) -> Schedule {
        let wait = if matches!(name, WalFileName::Segment(_)) { FIRST } else { 0 };
        Schedule { name, next: now + wait, interval: FIRST, gap: false }
    }

    /// For a file that is likely to be in another archive.
    pub(super) fn at_once(name: WalFileName, now: u64) -> Schedule {
        Schedule { next: now, ..Schedule::new(name, now) }
    }

    /// Whether the question is due. With a `gap`, a segment that is missing here although later ones are here, it
    /// is due at once.
    pub(super) fn is_due(&self, now: u64, gap: bool) -> bool {
        // The clock may have been set back.
        let too_far = now + LONGEST < self.next;
        now >= self.next || too_far || (gap && !self.gap)
    }

    /// The schedule after a question.
    pub(super) fn asked(self, now: u64, gap: bool) -> Schedule {
        let interval = (self.interval * 2).min(LONGEST);
        Schedule { next: now + self.interval, interval, gap, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "000000010000000000000007";

    fn asked_at(name: &str, gap_from: Option<u64>, until: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(name.parse().unwrap(), 0);
        let mut times = Vec::new();
        for now in (0..until).step_by(1000) {
            let gap = gap_from.is_some_and(|from| now >= from);
            if schedule.is_due(now, gap) {
                schedule = schedule.asked(now, gap);
                times.push(now / 1000);
            }
        }
        times
    }

    #[test]
    fn the_intervals_grow_to_a_minute() {
        assert_eq!(asked_at(SEGMENT, None, 300_000), [3, 6, 12, 24, 48, 96, 156, 216, 276]);
        assert_eq!(asked_at("00000002.history", None, 50_000), [0, 3, 9, 21, 45]);
    }

    #[test]
    fn a_gap_is_asked_for_at_once_and_once() {
        assert_eq!(asked_at(SEGMENT, Some(0), 10_000), [0, 3, 9]);
        assert_eq!(asked_at(SEGMENT, Some(20_000), 60_000), [3, 6, 12, 20, 44]);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing() {
        let schedule = Schedule::new(SEGMENT.parse().unwrap(), 10_000_000);
        assert!(schedule.is_due(1_000, false));
        assert!(!schedule.is_due(10_001_000, false));
    }
}
