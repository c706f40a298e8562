use std::io::{self, Read, Seek};

use crate::wal::{Lsn, SegmentHeader, SegmentName, SegmentWalk, WalEnd, push_pages};

/// The end of the WAL in a segment that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The position of the last record; `None` if no record begins in the segment.
    pub last_record: Option<Lsn>,
    /// The position after it.
    pub end: Lsn,
}

impl Tail {
    /// Finds it by reading the records. `None` if the segment is complete, or its records are those of an unknown
    /// version. The first page must have been [checked](crate::wal::check_segment_header).
    ///
    /// # Errors
    /// If `file` can't be read.
    pub fn find(
        name: SegmentName,
        header: &SegmentHeader,
        file: &mut (impl Read + Seek),
    ) -> io::Result<Option<Tail>> {
        let mut walk = SegmentWalk::new(header, name);
        push_pages(&mut walk, file, header, |_| false)?;
        let last_record = walk.last_record();
        Ok(match walk.ended() {
            Some(WalEnd::Stops { at, .. }) => Some(Tail { last_record, end: *at }),
            _ => None,
        })
    }
}
