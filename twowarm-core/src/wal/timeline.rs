use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::segment_name::hex_field;

/// A timeline: `TimeLineID` in PostgreSQL. A new cluster is on timeline 1; each promotion starts a new one with
/// the next free number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimelineId(NonZeroU32);

impl TimelineId {
    /// Timeline 1, that of a cluster that was never promoted. It has no history file.
    pub const FIRST: TimelineId = TimelineId(NonZeroU32::MIN);

    /// The timeline with this number.
    ///
    /// # Errors
    /// If the number is 0.
    pub fn new(number: u32) -> Result<TimelineId, NotATimeline> {
        NonZeroU32::new(number).map(TimelineId).ok_or_else(|| NotATimeline(number.to_string()))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The eight upper-case hexadecimal digits that begin a WAL file name.
    pub(crate) fn parse_hex(digits: &str) -> Result<TimelineId, NotATimeline> {
        hex_field(digits)
            .and_then(NonZeroU32::new)
            .map(TimelineId)
            .ok_or_else(|| NotATimeline(digits.to_owned()))
    }
}

/// Prints the number in decimal, as in PostgreSQL's messages.
impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses decimal digits, as PostgreSQL writes timelines in files and settings.
impl FromStr for TimelineId {
    type Err = NotATimeline;

    fn from_str(text: &str) -> Result<TimelineId, NotATimeline> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number
            .and_then(NonZeroU32::new)
            .map(TimelineId)
            .ok_or_else(|| NotATimeline(text.to_owned()))
    }
}

/// The text or number is not a timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a timeline (timelines are numbered from 1)")]
pub struct NotATimeline(pub String);
