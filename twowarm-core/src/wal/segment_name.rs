use std::fmt;
use std::str::FromStr;

use super::TimelineId;

/// The name of a WAL segment file: 24 upper-case hexadecimal digits for timeline, log id and segment.
///
/// Which positions the segment contains depends on the [layout](super::SegmentLayout) of the cluster. Names
/// sort as their text does.
///
/// ```
/// use twowarm_core::wal::{SegmentName, TimelineId};
///
/// let name: SegmentName = "0000000100000002000000FE".parse()?;
/// assert_eq!(name.timeline, TimelineId::FIRST);
/// assert_eq!((name.place.log_id, name.place.segment), (2, 0xFE));
/// assert_eq!(name.to_string(), "0000000100000002000000FE");
/// assert!("0000000100000002000000fe".parse::<SegmentName>().is_err(), "servers write upper case");
/// # Ok::<(), twowarm_core::wal::NotASegmentName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The timeline.
    pub timeline: TimelineId,
    /// The part of the log that it contains.
    pub place: SegmentPlace,
}

/// The name of a segment without its timeline: a part of the log, on any timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentPlace {
    /// The middle eight digits: "log id" in PostgreSQL.
    pub log_id: u32,
    /// The last eight digits.
    pub segment: u32,
}

/// The text is not 24 upper-case hexadecimal digits, or its timeline is 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a WAL segment name (24 upper-case hexadecimal digits)")]
pub struct NotASegmentName(pub String);

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(text: &str) -> Result<SegmentName, NotASegmentName> {
        let field = |from: usize| text.get(from..from + 8);
        let parse = || {
            if text.len() != 24 {
                return None;
            }
            Some(SegmentName {
                timeline: TimelineId::parse_hex(field(0)?).ok()?,
                place: SegmentPlace {
                    log_id: hex_field(field(8)?)?,
                    segment: hex_field(field(16)?)?,
                },
            })
        };
        parse().ok_or_else(|| NotASegmentName(text.to_owned()))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{}", self.timeline.number(), self.place)
    }
}

/// Prints the last 16 digits of the name.
impl fmt::Display for SegmentPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}", self.log_id, self.segment)
    }
}

/// Eight upper-case hexadecimal digits, as the server writes them; lower case is not accepted.
pub(super) fn hex_field(digits: &str) -> Option<u32> {
    let strict =
        digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    if strict { u32::from_str_radix(digits, 16).ok() } else { None }
}
