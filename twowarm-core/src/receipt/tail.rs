use std::io::{self, Read, Seek};

use super::Receipt;
use crate::wal::{
    Expected, Lsn, SegmentName, SegmentWalk, Unsound, WalEnd, push_pages, read_segment_header,
};

/// The end of the WAL in a segment that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The position of the last record; `None` if no record begins in the segment.
    pub last_record: Option<Lsn>,
    /// The position after it.
    pub end: Lsn,
}

/// Why the end of the WAL in a file was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoTail {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not the segment of its name.
    #[error(transparent)]
    Segment(#[from] Unsound),
    /// The WAL does not end in it, or its version is unknown.
    #[error("it is complete, or of an unknown version")]
    Complete,
}

impl Tail {
    /// Finds it in the file of this segment by reading the records.
    ///
    /// # Errors
    /// If the file can't be read, is not that segment, or is complete, or if its records are those of an unknown
    /// version.
    pub fn find(
        file: &mut (impl Read + Seek),
        name: SegmentName,
        expected: &Expected,
    ) -> Result<Tail, NoTail> {
        let header = read_segment_header(file, name, expected)??;
        let mut walk = SegmentWalk::new(&header, name);
        push_pages(&mut walk, file, &header, |_| false)?;
        match walk.ended() {
            Some(WalEnd::Stops { at, .. }) => {
                Ok(Tail { last_record: walk.last_record(), end: *at })
            }
            _ => Err(NoTail::Complete),
        }
    }

    /// Whether the WAL ends with the shutdown checkpoint of this receipt.
    #[must_use]
    pub fn is_of(&self, receipt: &Receipt) -> bool {
        self.end == receipt.end && self.last_record == Some(receipt.checkpoint)
    }
}
