use std::io::{self, Read, Seek, SeekFrom};

use super::{SegmentHeader, SegmentWalk};

/// How much is read at a time at most, in bytes; a whole number of WAL pages of any size.
const CHUNK: usize = 256 * 1024;

/// Pushes the pages of a segment's file from the walk's next one on, until the walk, the segment or `done` ends it.
///
/// One page is read first, then twice as much each time, since a record that crosses into a segment mostly ends in
/// its first page.
pub(crate) fn push_pages(
    walk: &mut SegmentWalk,
    file: &mut (impl Read + Seek),
    header: &SegmentHeader,
    mut done: impl FnMut(&SegmentWalk) -> bool,
) -> io::Result<()> {
    let page = header.block_size() as usize;
    let size = header.layout().size().bytes();
    let mut at = walk.next_page() * page as u64;
    file.seek(SeekFrom::Start(at))?;
    let mut buffer = vec![0; page];
    while at < size && walk.ended().is_none() && !done(walk) {
        let chunk = buffer.len().min((size - at) as usize);
        file.read_exact(&mut buffer[..chunk])?;
        for page in buffer[..chunk].chunks(page) {
            if walk.ended().is_some() || done(walk) {
                break;
            }
            walk.push(page);
        }
        at += chunk as u64;
        buffer.resize((buffer.len() * 2).min(CHUNK), 0);
    }
    Ok(())
}
