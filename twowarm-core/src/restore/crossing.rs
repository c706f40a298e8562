//! The record that crosses from one segment into the next, which neither of the two shows whole.
//!
//! A server in warm mode that finds it damaged opens as a primary, as it does for any other record.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::wal::{
    Lsn, PageHeader, SegmentHeader, SegmentName, SegmentWalk, WalEnd, check_segment_header,
};

/// A segment's file, its first page checked.
pub(super) struct Checked<'a> {
    pub(super) file: &'a mut File,
    pub(super) name: SegmentName,
    pub(super) header: SegmentHeader,
}

/// Walks from the last record of the segment before, which begins at `links_to`, into a segment.
/// Returns where and why a server would stop there. None if all is sound, and where it can't be told
/// because the file of the segment before is another or is damaged itself.
pub(super) fn crossing_stops(
    before: &Path,
    before_name: SegmentName,
    segment: &mut Checked,
    links_to: Lsn,
) -> io::Result<Option<(Lsn, String)>> {
    let mut file = File::open(before)?;
    let mut first_page = Vec::with_capacity(PageHeader::MAX_BYTES);
    Read::by_ref(&mut file).take(PageHeader::MAX_BYTES as u64).read_to_end(&mut first_page)?;
    let (bytes, expected) = (file.metadata()?.len(), segment.header.expected());
    let Ok(header) = check_segment_header(&first_page, before_name, bytes, &expected) else {
        return Ok(None);
    };
    let Some(mut walk) = SegmentWalk::from_record(&header, before_name, links_to) else {
        return Ok(None);
    };
    push_pages(&mut walk, &mut file, &header, |_| false)?;
    let Some(mut walk) = walk.into_next(&segment.header, segment.name) else { return Ok(None) };
    let start = walk.sound_to().max(segment.start());
    push_pages(&mut walk, segment.file, &segment.header, |walk| walk.sound_to() > start)?;
    Ok(match walk.ended() {
        Some(WalEnd::Stops { at, why }) if walk.sound_to() <= start => Some((*at, why.to_string())),
        _ => None,
    })
}

/// Pushes pages from the next one on, until the walk is done or the segment is.
fn push_pages(
    walk: &mut SegmentWalk,
    file: &mut File,
    header: &SegmentHeader,
    done: impl Fn(&SegmentWalk) -> bool,
) -> io::Result<()> {
    let block_size = u64::from(header.block_size());
    let pages = header.layout().size().bytes() / block_size;
    file.seek(SeekFrom::Start(walk.next_page() * block_size))?;
    let mut page = vec![0; block_size as usize];
    while walk.next_page() < pages && walk.ended().is_none() && !done(walk) {
        file.read_exact(&mut page)?;
        walk.push(&page);
    }
    Ok(())
}

impl Checked<'_> {
    fn start(&self) -> Lsn {
        let layout = self.header.layout();
        layout.start(self.name.place).expect("the header was checked against the name")
    }
}
