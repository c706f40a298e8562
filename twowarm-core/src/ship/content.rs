//! Whether a file is what its name and its cluster say: the same test before it is sent and before it
//! is stored.

use std::io::{self, Read};

use super::wire::Hello;
use crate::wal::{
    BadText, Expected, MAX_TEXT, PageHeader, SegmentSize, TextVerdict, Unsound, WalFileName,
    check_segment_header, check_text, check_text_size,
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
) -> Result<TextVerdict, BadContent> {
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
                .map_err(|error| BadContent::Segment { name, error })?;
        }
        WalFileName::History(_) | WalFileName::Backup(..) => {
            let mut text = Vec::new();
            file.take(MAX_TEXT + 1).read_to_end(&mut text).map_err(failed)?;
            return Ok(check_text(name, &text, Some(cluster.major))?);
        }
    }
    Ok(TextVerdict::Sound)
}
