use crate::version::PgMajor;
use crate::wal::{BadPageHeader, Lsn, TimelineId};

/// Why a server would find no further record at a place in the middle of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Zeros where a record would begin: the log was not written further.
    #[error("no record follows")]
    NoRecord,
    /// No page header; zeros if the log was not written further.
    #[error(transparent)]
    NotWal(#[from] BadPageHeader),
    /// A page of another version.
    #[error("page at {page} is of PostgreSQL {found}")]
    OtherMajor {
        /// Where the page begins.
        page: Lsn,
        /// Its version.
        found: PgMajor,
    },
    /// A page of another position: an old one in a recycled segment.
    #[error("page at {page} says it is at {found}")]
    OtherPosition {
        /// Where the page begins.
        page: Lsn,
        /// Where it says it begins.
        found: Lsn,
    },
    /// A long header where a short one belongs, or the other way round.
    #[error("page at {page} has the wrong kind of header")]
    MisplacedHeader {
        /// Where the page begins.
        page: Lsn,
    },
    /// A page of an earlier timeline than the page before, or of a later one than the segment's name.
    #[error("page at {page} is of timeline {found}")]
    OtherTimeline {
        /// Where the page begins.
        page: Lsn,
        /// Its timeline.
        found: TimelineId,
    },
    /// The page does not go on with the record that the page before it left unfinished.
    #[error("page at {page} continues a record by {found} bytes, not {expected}")]
    BadContinuation {
        /// Where the page begins.
        page: Lsn,
        /// How many bytes were missing; 0 if none.
        expected: u32,
        /// How many it brings; 0 if none.
        found: u32,
    },
    /// A record's length is impossible, or is not the sum of its parts.
    #[error("record at {record} has an impossible length of {bytes} bytes")]
    BadLength {
        /// Where the record begins.
        record: Lsn,
        /// What it claims.
        bytes: u32,
    },
    /// A record does not link to the one before.
    #[error("record at {record} says the one before is at {found}")]
    BadLink {
        /// Where the record begins.
        record: Lsn,
        /// Where it links to.
        found: Lsn,
    },
    /// The version has no such resource manager.
    #[error("record at {record} is of unknown resource manager {found}")]
    UnknownResourceManager {
        /// Where the record begins.
        record: Lsn,
        /// `xl_rmid`.
        found: u8,
    },
    /// A record is damaged.
    #[error("record at {record} has checksum {found:08X}, its content {expected:08X}")]
    BadChecksum {
        /// Where the record begins.
        record: Lsn,
        /// Calculated.
        expected: u32,
        /// In the record.
        found: u32,
    },
    /// The page says that it gives up a half record, the record does not.
    #[error("record at {record} does not give up the one before, as its page says")]
    NotOverwriting {
        /// Where the record begins.
        record: Lsn,
    },
    /// A page of another length than the segment's are.
    #[error("page of {bytes} bytes, not {block_size}")]
    PageLength {
        /// Its length.
        bytes: usize,
        /// What it should be.
        block_size: usize,
    },
    /// Fewer pages than the segment has.
    #[error("only {pages} pages of {expected}")]
    PagesMissing {
        /// So many came.
        pages: u64,
        /// So many there should be.
        expected: u64,
    },
    /// More pages than the segment has.
    #[error("more pages than the segment has")]
    PastSegment,
}

impl StopReason {
    /// Where the unsound record begins, where one was found at all.
    pub fn record(&self) -> Option<Lsn> {
        match *self {
            StopReason::BadLength { record, .. }
            | StopReason::BadLink { record, .. }
            | StopReason::UnknownResourceManager { record, .. }
            | StopReason::BadChecksum { record, .. }
            | StopReason::NotOverwriting { record } => Some(record),
            _ => None,
        }
    }
}
