use std::fmt;
use std::str::FromStr;

use super::segment_name::hex_field;
use super::{SegmentName, TimelineId};

/// The name of a file that a server archives or restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalFileName {
    /// A segment.
    Segment(SegmentName),
    /// `SEGMENT.partial`: an unfinished segment, left by a promotion (9.5 on) or by pg_receivewal.
    Partial(SegmentName),
    /// `TTTTTTTT.history`: a timeline history file.
    History(TimelineId),
    /// `SEGMENT.OOOOOOOO.backup`: a backup history file. The number is where the backup starts, as an offset
    /// into the segment in bytes.
    Backup(SegmentName, u32),
}

impl WalFileName {
    /// The segment in the name; `None` for a timeline history file.
    #[must_use]
    pub fn segment(self) -> Option<SegmentName> {
        match self {
            WalFileName::Segment(s) | WalFileName::Partial(s) | WalFileName::Backup(s, _) => {
                Some(s)
            }
            WalFileName::History(_) => None,
        }
    }

    /// The timeline in the name.
    #[must_use]
    pub fn timeline(self) -> TimelineId {
        match self {
            WalFileName::History(timeline) => timeline,
            WalFileName::Segment(s) | WalFileName::Partial(s) | WalFileName::Backup(s, _) => {
                s.timeline
            }
        }
    }
}

/// The text is not the name of a WAL file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a WAL file name (a segment, .partial, .history or .backup file)")]
pub struct NotAWalFileName(pub String);

impl FromStr for WalFileName {
    type Err = NotAWalFileName;

    fn from_str(text: &str) -> Result<WalFileName, NotAWalFileName> {
        let parse = || match text.split_once('.') {
            None => text.parse().ok().map(WalFileName::Segment),
            Some((timeline, "history")) => {
                TimelineId::parse_hex(timeline).ok().map(WalFileName::History)
            }
            Some((segment, "partial")) => segment.parse().ok().map(WalFileName::Partial),
            Some((segment, rest)) => {
                let offset = hex_field(rest.strip_suffix(".backup")?)?;
                Some(WalFileName::Backup(segment.parse().ok()?, offset))
            }
        };
        parse().ok_or_else(|| NotAWalFileName(text.to_owned()))
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalFileName::Segment(segment) => write!(f, "{segment}"),
            WalFileName::Partial(segment) => write!(f, "{segment}.partial"),
            WalFileName::History(timeline) => write!(f, "{:08X}.history", timeline.number()),
            WalFileName::Backup(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}
