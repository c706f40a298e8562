use std::io::{self, Read};

use super::same_segment::fill;
use super::{
    Lsn, PageHeader, SegmentHeader, SegmentName, SegmentWalk, StopReason, UnknownRecords, WalEnd,
};

/// Whether a segment is complete, by its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// The segment is complete: its WAL continues in the next segment, or ends with a switch record.
    Whole,
    /// The segment is incomplete: its WAL ends in the middle, and no later page was written.
    Unfinished {
        /// The end of its WAL: all records before this position are valid.
        at: Lsn,
        /// Why no further record can be read.
        why: StopReason,
    },
    /// The segment is damaged: a record or page in the middle is invalid, although later pages were written.
    Damaged {
        /// All records before this position are valid.
        at: Lsn,
        /// What is invalid there.
        why: StopReason,
    },
    /// Not known: the records of this version can't be read.
    Unknown(UnknownRecords),
}

/// Determines whether a segment is complete, incomplete or damaged. `file` is read from its start; the first
/// page must have been [checked](super::check_segment_header).
///
/// A segment is damaged, not incomplete, if a page after the end of its WAL has the right address and the
/// timeline of the segment's name: a server fills pages in order, and the pages of a recycled segment have
/// older addresses. A page of an ancestor timeline proves nothing, because through 9.3 a promotion copies the
/// whole segment, including pages after the fork. If the WAL ends in the last page and that page has the right
/// address and timeline, the segment is damaged from 9.5 on, where servers archive an unfinished segment
/// under another name.
///
/// Damage to a record that begins in the previous segment is not detected.
///
/// # Errors
/// If `file` can't be read.
pub fn completeness(
    name: SegmentName,
    header: &SegmentHeader,
    file: &mut dyn Read,
) -> io::Result<Completeness> {
    let Some(major) = header.major() else {
        return Ok(header.unknown_records().map_or(Completeness::Whole, Completeness::Unknown));
    };
    let mut walk = SegmentWalk::new(header, name);
    let mut page = vec![0; header.block_size() as usize];
    let pages = header.layout().size().bytes() / u64::from(header.block_size());
    let mut written_further = false;
    let mut written_to_end = false;
    for number in 0..pages {
        if !fill(file, &mut page)? {
            break;
        }
        let address = Lsn(header.start().0 + number * u64::from(header.block_size()));
        let stopped = walk.ended().is_some_and(|end| !end.is_whole());
        let own = PageHeader::parse(&page)
            .is_ok_and(|own| own.address == address && own.timeline == name.timeline);
        written_further |= stopped && own;
        written_to_end = number + 1 == pages && own;
        walk.push(&page);
        if written_further || walk.ended().is_some_and(WalEnd::is_whole) {
            break;
        }
    }
    let finished = written_to_end && major.names_unfinished_segments();
    Ok(match walk.finish() {
        WalEnd::ReachesEnd | WalEnd::Switched { .. } => Completeness::Whole,
        WalEnd::Stops { at, why } => {
            if written_further || finished {
                Completeness::Damaged { at, why }
            } else {
                Completeness::Unfinished { at, why }
            }
        }
    })
}
