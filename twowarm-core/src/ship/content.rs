//! The check that the content of a file matches its name and cluster: the same before it is sent and before it is
//! stored.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::wire::Hello;
use crate::file_error::FileError;
use crate::wal::{
    BadText, Completeness, MAX_TEXT, SegmentHeader, SegmentName, SegmentSize, TextVerdict, Unsound,
    WalFileName, check_segment_header, check_text, check_text_size, completeness, first_page,
};

/// Why the content of a file does not match its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadContent {
    /// A segment of another size than the cluster's segments.
    #[error("{name} has {bytes} bytes, but segments of this cluster have {}", size.bytes())]
    WrongSize {
        /// The file.
        name: WalFileName,
        /// Its size.
        bytes: u64,
        /// The cluster's segment size.
        size: SegmentSize,
    },
    /// A segment whose first page does not match its name or cluster.
    #[error("the content of {name} does not match its name: {error}")]
    Segment {
        /// The file.
        name: WalFileName,
        /// The problem.
        error: Unsound,
    },
    /// A history or `.backup` file with other content.
    #[error(transparent)]
    Text(#[from] BadText),
    /// The file can't be read.
    #[error("could not read {name}: {error}")]
    Io {
        /// The file.
        name: WalFileName,
        /// The system's error.
        error: io::Error,
    },
}

impl BadContent {
    /// Whether the file belongs to another cluster, rather than being damaged or misnamed.
    pub(crate) fn is_foreign(&self) -> bool {
        let foreign = |error: &Unsound| {
            matches!(error, Unsound::OtherCluster { .. } | Unsound::OtherSegmentSize { .. })
        };
        matches!(self, BadContent::Segment { error, .. } if foreign(error))
    }
}

/// The content of a file that matches its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A segment or `.partial` file, with its first page's header.
    Segment(SegmentName, SegmentHeader),
    /// A history or `.backup` file.
    Text(TextVerdict),
}

/// Checks that a file of this size can have this name, before any of it is read.
pub(crate) fn check_size(
    name: WalFileName,
    bytes: u64,
    size: SegmentSize,
) -> Result<(), BadContent> {
    match name {
        WalFileName::Segment(_) | WalFileName::Partial(_) if bytes != size.bytes() => {
            Err(BadContent::WrongSize { name, bytes, size })
        }
        WalFileName::Segment(_) | WalFileName::Partial(_) => Ok(()),
        WalFileName::History(_) | WalFileName::Backup(..) => Ok(check_text_size(name, bytes)?),
    }
}

/// Checks that a file, read from its start, can have this name in the sender's cluster. Some `.backup` files
/// pass that can't: see [`check_text`].
pub(crate) fn check_content(
    name: WalFileName,
    bytes: u64,
    file: &mut dyn Read,
    cluster: &Hello,
) -> Result<Content, BadContent> {
    check_size(name, bytes, cluster.segment_size)?;
    let failed = |error| BadContent::Io { name, error };
    match name {
        WalFileName::Segment(segment) | WalFileName::Partial(segment) => {
            let page = first_page(file).map_err(failed)?;
            check_segment_header(&page, segment, bytes, &cluster.expected())
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

/// Checks a segment's records before it is sent. If its WAL ends in the middle it is read again, from the
/// disk: the kernel's cached pages may be damaged.
pub(crate) fn check_records(
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
            // A hint, which not all file systems support.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            read().map(|(found, _)| found).map_err(failed())
        }
    }
}
