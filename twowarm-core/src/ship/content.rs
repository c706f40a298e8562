//! Whether a file is what its name and its cluster say: the same test before it is sent and before it
//! is stored.

use std::io::{self, Read};

use super::wire::Hello;
use crate::wal::{
    BackupHistory, BadBackupLabel, Expected, HistoryError, PageHeader, SegmentName, SegmentSize,
    TimelineHistory, Unsound, WalFileName, check_segment_header,
};

/// A history has a line for each promotion: this is room for thousands.
const MAX_HISTORY: u64 = 256 * 1024;
/// A backup file has a dozen lines, of which the label may be 1024 bytes long.
const MAX_BACKUP: u64 = 64 * 1024;

/// Why a file can't have its name.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BadContent {
    #[error("{name} has {bytes} bytes, more than the {limit} that such a file can have")]
    TooLong { name: WalFileName, bytes: u64, limit: u64 },
    #[error("{name} has {bytes} bytes, but segments of this cluster have {}", size.bytes())]
    WrongSize { name: WalFileName, bytes: u64, size: SegmentSize },
    #[error("{name} is not that segment: {error}")]
    Segment { name: WalFileName, error: Unsound },
    #[error("{name} is no timeline history: {error}")]
    History { name: WalFileName, error: HistoryError },
    #[error("{name} is no backup file: {error}")]
    Backup { name: WalFileName, error: BadBackupLabel },
    #[error("{name} describes a backup that began in {found}")]
    OtherBackup { name: WalFileName, found: SegmentName },
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
    let at_most = |limit| {
        if bytes > limit { Err(BadContent::TooLong { name, bytes, limit }) } else { Ok(()) }
    };
    match name {
        WalFileName::Segment(_) | WalFileName::Partial(_) if bytes != size.bytes() => {
            Err(BadContent::WrongSize { name, bytes, size })
        }
        WalFileName::Segment(_) | WalFileName::Partial(_) => Ok(()),
        WalFileName::History(_) => at_most(MAX_HISTORY),
        WalFileName::Backup(..) => at_most(MAX_BACKUP),
    }
}

/// Whether a file, given from its start, can have this name in the sender's cluster.
pub fn check_content(
    name: WalFileName,
    bytes: u64,
    file: &mut dyn Read,
    cluster: &Hello,
) -> Result<(), BadContent> {
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
        WalFileName::History(timeline) => {
            let text = whole(file, MAX_HISTORY).map_err(failed)?;
            TimelineHistory::parse(timeline, &text)
                .map_err(|error| BadContent::History { name, error })?;
        }
        WalFileName::Backup(segment, _) => {
            let text = whole(file, MAX_BACKUP).map_err(failed)?;
            let found = BackupHistory::parse(&text)
                .map_err(|error| BadContent::Backup { name, error })?
                .label()
                .start_segment();
            if found != segment {
                return Err(BadContent::OtherBackup { name, found });
            }
        }
    }
    Ok(())
}

fn whole(file: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(limit).read_to_end(&mut text)?;
    Ok(text)
}
