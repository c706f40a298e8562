//! Names and formats of PostgreSQL's write-ahead log, as values. Nothing here opens a file.

mod backup_label;
mod checksum;
mod completeness;
mod control;
mod file_name;
mod history;
mod layout;
mod lsn;
mod page;
pub(crate) mod records;
mod same_segment;
mod segment_check;
mod segment_name;
mod segment_size;
mod text_content;
mod timeline;
mod walk_file;

pub use backup_label::{BackupHistory, BackupLabel, BadBackupLabel};
pub use completeness::{Completeness, completeness};
pub use control::{BadControlFile, ClusterState, ControlFile};
pub use file_name::{NotAWalFileName, WalFileName};
pub use history::{Ancestor, ForkPoint, HistoryError, SegmentInHistory, TimelineHistory};
pub use layout::{NoSuchSegment, SegmentLayout};
pub use lsn::{Lsn, NotAnLsn};
pub use page::{BadPageHeader, LongPart, PageHeader};
pub use records::{SegmentWalk, StopReason, WalEnd};
pub use same_segment::is_same_segment;
pub use segment_check::{Expected, SegmentHeader, UnknownRecords, Unsound, check_segment_header};
pub use segment_name::{NotASegmentName, SegmentName, SegmentPlace};
pub use segment_size::{InvalidSegmentSize, SegmentSize};
pub(crate) use text_content::check_history;
pub use text_content::{BadText, MAX_TEXT, TextVerdict, check_text, check_text_size};
pub use timeline::{NotATimeline, TimelineId};
pub(crate) use walk_file::{first_page, push_pages, read_segment_header};
