use std::io::{self, Read, Seek, SeekFrom};

use super::{
    Expected, PageHeader, SegmentHeader, SegmentName, SegmentWalk, Unsound, check_segment_header,
};

/// The first bytes of a file, as many as [`check_segment_header`] needs.
pub(crate) fn first_page(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PageHeader::MAX_BYTES);
    file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks that a file can be the segment of this name, by its size and its first page, and rewinds it.
///
/// # Errors
/// If it can't be read.
pub(crate) fn read_segment_header(
    file: &mut (impl Read + Seek),
    name: SegmentName,
    expected: &Expected,
) -> io::Result<Result<SegmentHeader, Unsound>> {
    let bytes = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let page = first_page(&mut *file)?;
    file.rewind()?;
    Ok(check_segment_header(&page, name, bytes, expected))
}

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
