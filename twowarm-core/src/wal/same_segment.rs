use std::io::{self, Read};

use super::{
    Expected, Lsn, PageHeader, SegmentName, SegmentWalk, WalEnd, check_segment_header, first_page,
};

/// Whether two files with the same name contain the same segment, so that replaying either gives the same
/// result. Both are read from their start.
///
/// Copies of a segment can differ after the end of their WAL, where a recycled file contains pages of an older
/// segment. The rule depends on how the WAL ends:
///
/// - It continues in the next segment: all bytes must be equal.
/// - It ends with a switch record: all bytes up to the end of that record must be equal. The rest is not WAL,
///   even if it looks like WAL: through 9.3 a segment that a promotion copied can contain stale pages with the
///   right address.
/// - It ends in the middle (a `.partial` file, or an unfinished segment): both must end at the same position,
///   and a page that has its own address in either file must be equal in both. So neither contains a record, or
///   part of a record, that the other does not.
///
/// Files that do not begin as the segment of this name, or that differ in size, are not the same.
///
/// # Errors
/// If one of the files can't be read.
pub fn is_same_segment(name: SegmentName, a: &mut dyn Read, b: &mut dyn Read) -> io::Result<bool> {
    let (first_a, first_b) = (first_page(&mut *a)?, first_page(&mut *b)?);
    let Some(long) = PageHeader::parse(&first_a).ok().and_then(|page| page.long) else {
        return Ok(false);
    };
    let size = long.segment_size.bytes();
    let header = check_segment_header(&first_a, name, size, &Expected::default());
    let (Ok(header), true) = (header, first_a == first_b) else { return Ok(false) };
    let mut walks = [SegmentWalk::new(&header, name), SegmentWalk::new(&header, name)];
    let (mut a, mut b) = (first_a.chain(a), first_b.chain(b));
    let mut pages = [vec![0; long.block_size as usize], vec![0; long.block_size as usize]];
    for offset in (0..size).step_by(long.block_size as usize) {
        let at = Lsn(header.start.0 + offset);
        let [page_a, page_b] = &mut pages;
        if !(fill(&mut a, page_a)? && fill(&mut b, page_b)?) {
            return Ok(false);
        }
        let [walk_a, walk_b] = &mut walks;
        walk_a.push(page_a);
        walk_b.push(page_b);
        if let Some(WalEnd::Switched { at: end }) = walk_a.ended() {
            let within = (end.0 - at.0) as usize;
            let left = size - offset - long.block_size as u64;
            return Ok(page_a[..within] == page_b[..within]
                && walk_a.ended() == walk_b.ended()
                && has_left(&mut a, left)?
                && has_left(&mut b, left)?);
        }
        if page_a != page_b && (is_of(page_a, at) || is_of(page_b, at)) {
            return Ok(false);
        }
    }
    let [end_a, end_b] = walks.map(|walk| match walk.finish() {
        WalEnd::Stops { at, .. } => Some(at),
        WalEnd::ReachesEnd | WalEnd::Switched { .. } => None,
    });
    Ok(end_a == end_b && has_left(&mut a, 0)? && has_left(&mut b, 0)?)
}

/// Whether the header of a page has this address.
fn is_of(page: &[u8], at: Lsn) -> bool {
    PageHeader::parse(page).is_ok_and(|header| header.address == at)
}

/// Whether exactly this many bytes remain.
fn has_left(file: &mut dyn Read, bytes: u64) -> io::Result<bool> {
    Ok(io::copy(&mut file.take(bytes + 1), &mut io::sink())? == bytes)
}

/// Reads a page; `false` if the file ends before its end.
pub(super) fn fill(file: &mut dyn Read, page: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(page) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
