use super::{
    BadPageHeader, Lsn, NoSuchSegment, PageHeader, SegmentLayout, SegmentName, SegmentSize,
    TimelineId,
};
use crate::version::PgMajor;

/// What is known about the cluster that a segment should belong to; `None` is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The system identifier of the cluster, from pg_control or an earlier segment.
    pub system_identifier: Option<u64>,
    /// The segment size of the cluster.
    pub segment_size: Option<SegmentSize>,
    /// The major version of the server. A segment of another version is refused, with two exceptions: a magic
    /// number newer than all known ones is accepted for the newest known version (its next release may have
    /// another number) and for later ones; and WAL of the newest known version is accepted for later ones.
    pub major: Option<PgMajor>,
}

/// What the first page says about a segment that passed [`check_segment_header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub(super) page: PageHeader,
    pub(super) start: Lsn,
    layout: SegmentLayout,
    system_identifier: u64,
    block_size: u32,
    pub(super) alignment: usize,
}

impl SegmentHeader {
    /// The major version that wrote the segment; `None` if it is newer than all known versions. Its records
    /// can't be checked then.
    #[must_use]
    pub fn major(&self) -> Option<PgMajor> {
        self.page.major
    }

    /// Why its records can't be checked; `None` if they can.
    #[must_use]
    pub fn unknown_records(&self) -> Option<UnknownRecords> {
        self.page.major.is_none().then_some(UnknownRecords { magic: self.page.magic })
    }

    /// The layout of the cluster.
    #[must_use]
    pub fn layout(&self) -> SegmentLayout {
        self.layout
    }

    /// The system identifier of the cluster that wrote the segment.
    #[must_use]
    pub fn system_identifier(&self) -> u64 {
        self.system_identifier
    }

    /// The size of a WAL page, in bytes.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The timeline of the first page: that of the name, or of an ancestor if a promotion copied the segment.
    #[must_use]
    pub fn first_timeline(&self) -> TimelineId {
        self.page.timeline
    }

    /// The position of the first byte.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.start
    }

    /// Whether the segment begins with the rest of a record from an earlier segment.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.page.continues()
    }

    /// What other segments of the same cluster and version must agree with.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected {
            system_identifier: Some(self.system_identifier),
            segment_size: Some(self.layout.size()),
            major: self.major(),
        }
    }
}

/// The segment is of a version newer than all known ones: only its size, cluster and position are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its records are not checked, because the segment is of a PostgreSQL version newer than {}, the newest version known to this program (WAL magic number {magic:04X}). HINT: update twowarm",
    PgMajor::NEWEST
)]
pub struct UnknownRecords {
    magic: u16,
}

/// Checks that a file can be the segment of this name: its size and the header of its first page (the first
/// [`PageHeader::MAX_BYTES`] bytes are enough). The records are checked by a
/// [`SegmentWalk`](super::SegmentWalk).
///
/// A server makes the same checks, but in warm mode a segment that fails them ends recovery.
///
/// # Errors
/// If the file is not the segment of this name, or does not belong to the expected cluster.
pub fn check_segment_header(
    first_page: &[u8],
    name: SegmentName,
    file_bytes: u64,
    expected: &Expected,
) -> Result<SegmentHeader, Unsound> {
    let page = PageHeader::parse(first_page)?;
    let long = page.long.ok_or(Unsound::NotAFirstPage)?;
    match (expected.major, page.major) {
        // A newer version may still write the WAL of the newest known one.
        (Some(major), Some(PgMajor::NEWEST)) if !major.is_known() => {}
        (Some(major), Some(found)) if major != found => {
            return Err(Unsound::OtherMajor { expected: major, found });
        }
        // The betas of the newest known version had several numbers.
        (Some(major), None) if major < PgMajor::NEWEST => {
            return Err(BadPageHeader::UnknownMagic(page.magic).into());
        }
        (_, None) if long.system_identifier == 0 => {
            return Err(BadPageHeader::UnknownMagic(page.magic).into());
        }
        _ => {}
    }
    if let Some(cluster) = expected.system_identifier.filter(|&id| id != long.system_identifier) {
        return Err(Unsound::OtherCluster { expected: cluster, found: long.system_identifier });
    }
    if let Some(size) = expected.segment_size.filter(|&size| size != long.segment_size) {
        return Err(Unsound::OtherSegmentSize { expected: size, found: long.segment_size });
    }
    let layout = SegmentLayout::new(page.major.unwrap_or(PgMajor::NEWEST), long.segment_size);
    let start = layout.start(name.place)?;
    if page.address != start {
        return Err(Unsound::OtherPosition { name, expected: start, found: page.address });
    }
    if page.timeline > name.timeline {
        return Err(Unsound::LaterTimeline { name, found: page.timeline });
    }
    if file_bytes < long.segment_size.bytes() {
        return Err(Unsound::TooSmall { bytes: file_bytes, segment_size: long.segment_size });
    }
    if file_bytes > long.segment_size.bytes() {
        return Err(Unsound::TooLarge { bytes: file_bytes, segment_size: long.segment_size });
    }
    Ok(SegmentHeader {
        page,
        start,
        layout,
        system_identifier: long.system_identifier,
        block_size: long.block_size,
        alignment: long.alignment,
    })
}

/// Why the content of a file does not match its segment name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsound {
    /// The file does not begin with a WAL page header.
    #[error(transparent)]
    NotWal(#[from] BadPageHeader),
    /// The file begins with a WAL page that has no long header.
    #[error("begins with a WAL page that is not the first page of a segment")]
    NotAFirstPage,
    /// The segment of this name does not exist in the layout of the file.
    #[error(transparent)]
    NoSuchSegment(#[from] NoSuchSegment),
    /// The first page has another address: a recycled segment not yet written, or the wrong name.
    #[error(
        "begins at {found}, but segment {name} begins at {expected}: it is a recycled segment or has the wrong name"
    )]
    OtherPosition {
        /// The name of the file.
        name: SegmentName,
        /// Where that segment begins.
        expected: Lsn,
        /// The address of the first page.
        found: Lsn,
    },
    /// The segment belongs to another cluster.
    #[error("segment of another cluster: system identifier {found}, not {expected}")]
    OtherCluster {
        /// The expected system identifier.
        expected: u64,
        /// The system identifier in the file.
        found: u64,
    },
    /// The segment belongs to a cluster with another segment size.
    #[error("segment of another cluster: segment size {found}, not {expected}")]
    OtherSegmentSize {
        /// The expected segment size.
        expected: SegmentSize,
        /// The segment size in the file.
        found: SegmentSize,
    },
    /// The segment was written by another major version.
    #[error("was written by PostgreSQL {found}, not {expected}")]
    OtherMajor {
        /// The expected version.
        expected: PgMajor,
        /// The version of the segment.
        found: PgMajor,
    },
    /// The first page belongs to a later timeline than the name.
    #[error("segment {name} begins with a page of a later timeline, {found}")]
    LaterTimeline {
        /// The name of the file.
        name: SegmentName,
        /// The timeline of the page.
        found: TimelineId,
    },
    /// The file is smaller than a segment.
    #[error("has only {bytes} bytes of a segment of {segment_size}")]
    TooSmall {
        /// The size of the file.
        bytes: u64,
        /// The segment size.
        segment_size: SegmentSize,
    },
    /// The file is larger than a segment.
    #[error("has {bytes} bytes, more than a segment of {segment_size}")]
    TooLarge {
        /// The size of the file.
        bytes: u64,
        /// The segment size.
        segment_size: SegmentSize,
    },
}
