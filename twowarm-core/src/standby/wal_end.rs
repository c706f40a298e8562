use std::io::{self, Read};

use crate::wal::{
    Expected, Lsn, PageHeader, SegmentName, SegmentWalk, WalEnd, check_segment_header,
};

/// The end of the WAL in the last segment of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRecord {
    /// Where it begins; `None` if no record begins in the segment.
    pub(super) begin: Option<Lsn>,
    /// Where it ends.
    pub(super) end: Lsn,
}

/// Finds the last record of a segment whose WAL may end in the middle, as in a `.partial` file. A file that is too
/// short is read as if zeros followed. `Err(Ok(...))` says why it is not this segment.
pub(super) fn last_record(
    file: &mut dyn Read,
    name: SegmentName,
    expected: &Expected,
) -> Result<LastRecord, Result<String, io::Error>> {
    let mut first = Vec::new();
    file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut first).map_err(Err)?;
    let size = match PageHeader::parse(&first).map(|page| page.long) {
        Ok(Some(long)) => long.segment_size.bytes(),
        Ok(None) => return Err(Ok("it does not begin as a segment".into())),
        Err(bad) => return Err(Ok(bad.to_string())),
    };
    let header =
        check_segment_header(&first, name, size, expected).map_err(|bad| Ok(bad.to_string()))?;
    if let Some(unknown) = header.unknown_records() {
        return Err(Ok(unknown.to_string()));
    }
    let mut walk = SegmentWalk::new(&header, name);
    let mut page = vec![0; header.block_size() as usize];
    let mut pages = first.chain(file).chain(io::repeat(0)).take(size);
    while walk.ended().is_none() && read_page(&mut pages, &mut page).map_err(Err)? {
        walk.push(&page);
    }
    let begin = walk.last_record();
    match walk.finish() {
        WalEnd::Stops { at, .. } | WalEnd::Switched { at } => Ok(LastRecord { begin, end: at }),
        WalEnd::ReachesEnd => Ok(LastRecord { begin, end: Lsn(header.start().0 + size) }),
    }
}

fn read_page(from: &mut dyn Read, page: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(page) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
