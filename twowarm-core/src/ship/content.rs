//! Whether a file is what its name and its cluster say: the same test before it is sent and before it
//! is stored.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::wire::Hello;
use crate::file_error::FileError;
use crate::wal::{
    BadText, Completeness, Expected, MAX_TEXT, PageHeader, SegmentHeader, SegmentName, SegmentSize,
    TextVerdict, Unsound, WalFileName, check_segment_header, check_text, check_text_size,
    completeness,
};

/// Why a file can't have its name.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BadContent {
    #[error("{name} has {bytes} bytes, but segments of this cluster have {}", size.bytes())]
    WrongSize { name: WalFileName, bytes: u64, size: SegmentSize },
    #[error("{name} is not that segment: {error}")]
    Segment { name: WalFileName, error: Unsound },
    #[error(transparent)]
    Text(#[from] BadText),
    #[error("could not read {name}: {source}")]
    Io { name: WalFileName, source: io::Error },
}

impl BadContent {
    /// Whether the file belongs to another cluster, rather than being damaged or misnamed.
    pub fn is_foreign(&self) -> bool {
        let foreign = |error: &Unsound| {
            matches!(error, Unsound::OtherCluster { .. } | Unsound::OtherSegmentSize { .. })
        };
        matches!(self, BadContent::Segment { error, .. } if foreign(error))
    }
}

/// What a file is that can have its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A segment or `.partial` file, by its first page.
    Segment(SegmentName, SegmentHeader),
    /// A history or `.backup` file.
    Text(TextVerdict),
}

/// Whether a file of this size can have this name, before any of it is read.
pub fn check_size(name: WalFileName, bytes: u64, size: SegmentSize) -> Result<(), BadContent> {
    match name {
        WalFileName::Segment(_) | WalFileName::Partial(_) if bytes != size.bytes() => {
            Err(BadContent::WrongSize { name, bytes, size })
        }
        WalFileName::Segment(_) | WalFileName::Partial(_) => Ok(()),
        WalFileName::History(_) | WalFileName::Backup(..) => Ok(check_text_size(name, bytes)?),
    }
}

/// Whether a file, given from its start, can have this name in the sender's cluster. A `.backup` file that
/// can't may pass all the same: see [`check_text`].
pub fn check_content(
    name: WalFileName,
    bytes: u64,
    file: &mut dyn Read,
    cluster: &Hello,
) -> Result<Content, BadContent> {
    check_size(name, bytes, cluster.segment_size)?;
    let failed = |source| BadContent::Io { name, source };
    match name {
        WalFileName::Segment(segment) | WalFileName::Partial(segment) => {
            let mut page = Vec::new();
            file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut page).map_err(failed)?;
            let expected = Expected {
                system_identifier: Some(cluster.system_identifier),
                segment_size: Some(cluster.segment_size),
                major: Some(cluster.major),
            };
            check_segment_header(&page, segment, bytes, &expected)
                .map(|header| Content::Segment(segment, header))
                .map_err(|error| BadContent::Segment { name, error })
        }
        WalFileName::History(_) | WalFileName::Backup(..) => {
            let mut text = Vec::new();
            file.take(MAX_TEXT + 1).read_to_end(&mut text).map_err(failed)?;
            Ok(Content::Text(check_text(name, &text, Some(cluster.major))?))
        }
    }
}

/// How much of a segment is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// What a segment's records tell of it before it is sent. One whose WAL ends in the middle is read a second
/// time, then from the disk: what is wrong in memory alone has no place in an archive.
pub fn check_records(
    path: &Path,
    name: SegmentName,
    header: &SegmentHeader,
) -> Result<Completeness, FileError> {
    let failed = || FileError::of::<io::Error>("read", path);
    let read = || {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        completeness(name, header, &mut file).map(|found| (found, file.into_inner()))
    };
    let (found, file) = read().map_err(failed())?;
    match found {
        Completeness::Whole | Completeness::Unknown(_) => Ok(found),
        Completeness::Unfinished { .. } | Completeness::Damaged { .. } => {
            // Only a hint to the system, which not all file systems take.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            read().map(|(found, _)| found).map_err(failed())
        }
    }
}
