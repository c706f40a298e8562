use crate::version::PgMajor;
use crate::wal::{BadPageHeader, Lsn, TimelineId};

/// Why a server would not find another record in the middle of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// Zeros instead of a record: the log was not written further.
    #[error("no record follows")]
    NoRecord,
    /// Not a page header; zeros if the log was not written further.
    #[error(transparent)]
    NotWal(#[from] BadPageHeader),
    /// The page was written by another major version.
    #[error("page at {page} was written by PostgreSQL {found}")]
    OtherMajor {
        /// Where the page begins.
        page: Lsn,
        /// The version of the page.
        found: PgMajor,
    },
    /// The page has another address: it is an old page of a recycled segment.
    #[error("unexpected pageaddr {found} in page at {page}")]
    OtherPosition {
        /// Where the page begins.
        page: Lsn,
        /// The address in its header.
        found: Lsn,
    },
    /// The page has a long header instead of a short one, or vice versa.
    #[error("page at {page} has the wrong type of header")]
    MisplacedHeader {
        /// Where the page begins.
        page: Lsn,
    },
    /// The timeline of the page is lower than that of the previous page, or higher than that of the segment's name.
    #[error("unexpected timeline ID {found} in page at {page}")]
    OtherTimeline {
        /// Where the page begins.
        page: Lsn,
        /// The timeline of the page.
        found: TimelineId,
    },
    /// The page does not continue the unfinished record of the previous page.
    #[error("invalid contrecord length {found} (expected {expected}) in page at {page}")]
    BadContinuation {
        /// Where the page begins.
        page: Lsn,
        /// The number of missing bytes; 0 if the record was complete.
        expected: u32,
        /// The number of bytes according to the page; 0 if it does not continue a record.
        found: u32,
    },
    /// The length of the record is invalid, or is not the sum of its parts.
    #[error("invalid length of {bytes} bytes in record at {record}")]
    BadLength {
        /// Where the record begins.
        record: Lsn,
        /// The length in its header.
        bytes: u32,
    },
    /// The record does not link to the previous one.
    #[error("incorrect prev-link {found} in record at {record}")]
    BadLink {
        /// Where the record begins.
        record: Lsn,
        /// The position of the previous record according to its header.
        found: Lsn,
    },
    /// The version does not have the record's resource manager.
    #[error("invalid resource manager ID {found} in record at {record}")]
    UnknownResourceManager {
        /// Where the record begins.
        record: Lsn,
        /// `xl_rmid`.
        found: u8,
    },
    /// The record is damaged.
    #[error(
        "incorrect resource manager data checksum in record at {record}: calculated {expected:08X}, found {found:08X}"
    )]
    BadChecksum {
        /// Where the record begins.
        record: Lsn,
        /// The checksum of its content.
        expected: u32,
        /// The checksum in its header.
        found: u32,
    },
    /// The page replaces an incomplete record, but begins with another type of record.
    #[error("record at {record} is not an overwrite-contrecord record, although its page says so")]
    NotOverwriting {
        /// Where the record begins.
        record: Lsn,
    },
    /// The page does not have the page size of the segment.
    #[error("page of {bytes} bytes instead of {block_size}")]
    PageLength {
        /// The size of the page.
        bytes: usize,
        /// The page size of the segment.
        block_size: usize,
    },
    /// The file ends before the last page.
    #[error("file ends after {pages} of {expected} pages")]
    PagesMissing {
        /// The number of pages that were read.
        pages: u64,
        /// The number of pages of a segment.
        expected: u64,
    },
    /// More pages were pushed than the segment has.
    #[error("more pages than the segment has")]
    PastSegment,
}

impl StopReason {
    /// Whether WAL ends there because no more was written, and not because of damage.
    pub(crate) fn is_unwritten(&self) -> bool {
        matches!(
            self,
            StopReason::NoRecord | StopReason::NotWal(_) | StopReason::OtherPosition { .. }
        )
    }

    /// Where the invalid record begins, if there is one.
    #[must_use]
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
