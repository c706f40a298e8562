//! Names and formats of PostgreSQL's write-ahead log, as values: no I/O in here.

mod file_name;
mod layout;
mod lsn;
mod segment_name;
mod segment_size;
mod timeline;

pub use file_name::{NotAWalFileName, WalFileName};
pub use layout::{NoSuchSegment, SegmentLayout};
pub use lsn::{Lsn, NotAnLsn};
pub use segment_name::{NotASegmentName, SegmentName, SegmentPlace};
pub use segment_size::{InvalidSegmentSize, SegmentSize};
pub use timeline::{NotATimeline, TimelineId};
