use super::{
    BadPageHeader, Lsn, NoSuchSegment, PageHeader, SegmentLayout, SegmentName, SegmentSize,
    TimelineId,
};
use crate::version::PgMajor;

/// What is known of the cluster a segment should belong to; what is `None` is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The cluster's, from pg_control or an earlier segment.
    pub system_identifier: Option<u64>,
    /// The cluster's.
    pub segment_size: Option<SegmentSize>,
    /// The server's. A segment of another version does not pass. One with a magic number newer than all
    /// that are known passes for the newest known version, whose next release may have another number, and
    /// for later versions; one of the newest known version passes for later ones too.
    pub major: Option<PgMajor>,
}

/// What the first page says of a segment that may bear its name.
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
    /// The major version that wrote it; none where it is newer than all that are known. Then nothing
    /// can be told of its records.
    pub fn major(&self) -> Option<PgMajor> {
        self.page.major
    }

    /// Why its records can't be checked; none if they can.
    pub fn unknown_records(&self) -> Option<UnknownRecords> {
        self.page.major.is_none().then_some(UnknownRecords { magic: self.page.magic })
    }

    /// The cluster's layout.
    pub fn layout(&self) -> SegmentLayout {
        self.layout
    }

    /// The cluster that wrote it.
    pub fn system_identifier(&self) -> u64 {
        self.system_identifier
    }

    /// The size of a WAL page, in bytes.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The timeline of its first page: the name's, or that of an ancestor in the segment that a
    /// promotion copied.
    pub fn first_timeline(&self) -> TimelineId {
        self.page.timeline
    }

    /// Its position.
    pub fn start(&self) -> Lsn {
        self.start
    }

    /// Whether it begins with the rest of a record that an earlier segment began.
    pub fn continues(&self) -> bool {
        self.page.continues()
    }

    /// What segments of the same cluster and server must agree with.
    pub fn expected(&self) -> Expected {
        Expected {
            system_identifier: Some(self.system_identifier),
            segment_size: Some(self.layout.size()),
            major: self.major(),
        }
    }
}

/// A segment is of a version newer than all that are known. It is told by its size, its cluster and its
/// position alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its records are not checked, because it is of a PostgreSQL version newer than {}, the newest that this program knows (WAL magic number {magic:04X}); update twowarm",
    PgMajor::NEWEST
)]
pub struct UnknownRecords {
    magic: u16,
}

/// Checks that a file can be the segment of this name: its size, and its first page (of which
/// [`PageHeader::MAX_BYTES`] are enough). What the records say takes a
/// [`SegmentWalk`](super::SegmentWalk).
///
/// The server's own tests catch all of this too, but in warm mode it answers them by ending recovery.
pub fn check_segment_header(
    first_page: &[u8],
    name: SegmentName,
    file_bytes: u64,
    expected: &Expected,
) -> Result<SegmentHeader, Unsound> {
    let page = PageHeader::parse(first_page)?;
    let long = page.long.ok_or(Unsound::NotAFirstPage)?;
    match (expected.major, page.major) {
        // A newer version may not have changed anything yet.
        (Some(ours), Some(PgMajor::NEWEST)) if !ours.is_known() => {}
        (Some(ours), Some(found)) if ours != found => {
            return Err(Unsound::OtherMajor { expected: ours, found });
        }
        // Of the newest known version the betas had several numbers.
        (Some(ours), None) if ours < PgMajor::NEWEST => {
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

/// Why a file is not the segment of its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Its start is no WAL page header: too short, unknown magic number, bad sizes.
    #[error(transparent)]
    NotWal(#[from] BadPageHeader),
    /// A WAL page, but none that a segment begins with.
    #[error("begins with a WAL page that is not the first of a segment")]
    NotAFirstPage,
    /// The name has no place in the layout that the file claims.
    #[error(transparent)]
    NoSuchSegment(#[from] NoSuchSegment),
    /// Its first page is of another position: a recycled segment not yet written, or a wrong name.
    #[error(
        "begins at {found} and not at {expected}, where {name} does: recycled, or of another name"
    )]
    OtherPosition {
        /// The name it bears.
        name: SegmentName,
        /// Where that segment begins.
        expected: Lsn,
        /// Where the file begins.
        found: Lsn,
    },
    /// Another cluster's.
    #[error("of another cluster: system identifier {found}, not {expected}")]
    OtherCluster {
        /// Ours.
        expected: u64,
        /// The file's.
        found: u64,
    },
    /// Another cluster's, by its segment size.
    #[error("of a cluster with segments of {found}, not {expected}")]
    OtherSegmentSize {
        /// Ours.
        expected: SegmentSize,
        /// The file's.
        found: SegmentSize,
    },
    /// Another server's.
    #[error("of PostgreSQL {found}, not {expected}")]
    OtherMajor {
        /// Ours.
        expected: PgMajor,
        /// The file's.
        found: PgMajor,
    },
    /// Its first page is of a timeline that began after the name's.
    #[error("{name} begins with a page of timeline {found}")]
    LaterTimeline {
        /// The name it bears.
        name: SegmentName,
        /// The page's timeline.
        found: TimelineId,
    },
    /// Not all of the segment is there.
    #[error("{bytes} bytes of a segment of {segment_size}")]
    TooSmall {
        /// The file's size.
        bytes: u64,
        /// What it should be.
        segment_size: SegmentSize,
    },
    /// More than the segment is there.
    #[error("{bytes} bytes, more than a segment of {segment_size}")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// What it should be.
        segment_size: SegmentSize,
    },
}
