use std::io::{self, Read};

use super::same_segment::fill;
use super::{
    Lsn, PageHeader, SegmentHeader, SegmentName, SegmentWalk, StopReason, UnknownRecords, WalEnd,
};

/// What a segment's records tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Its WAL goes on in the next segment, or ends with a switch to it.
    Whole,
    /// Its WAL ends in the middle, and nothing behind that is this segment's: it was never finished.
    Unfinished {
        /// All records before this position are sound.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
    /// Its WAL can't be read on from the middle, although it was written further.
    Damaged {
        /// All records before this position are sound.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
    /// It can't be told, because the records can't be read.
    Unknown(UnknownRecords),
}

/// Tells a whole segment from an unfinished and from a damaged one. The file is read from its start; its
/// first page has been [checked](super::check_segment_header).
///
/// A segment counts as damaged, and not as unfinished, if a page behind the one where its WAL stops bears
/// the address of its place and the timeline of its name: a server fills pages in order, and what it has
/// recycled bears older addresses. A page of an ancestor says nothing: through 9.3 a promotion copied all
/// of a segment, also what lay past the fork. Where the stop is in the very last page there is none behind it; then, if that page bears
/// both, it counts as damaged from 9.5 on, whose servers give unfinished segments another name.
///
/// Unseen stays damage to the record that crosses into the segment from the one before.
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
