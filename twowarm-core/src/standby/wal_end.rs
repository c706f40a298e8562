use std::fs::File;
use std::io::{self, Read, Seek};

use crate::receipt::Tail;
use crate::wal::{Expected, PageHeader, SegmentName, check_segment_header};

/// The end of the WAL in a segment that is not complete, or why the file is not that segment.
pub(super) fn tail_of(
    file: &mut File,
    name: SegmentName,
    expected: &Expected,
) -> io::Result<Result<Tail, String>> {
    let mut first_page = Vec::new();
    Read::by_ref(file).take(PageHeader::MAX_BYTES as u64).read_to_end(&mut first_page)?;
    let length = file.metadata()?.len();
    let header = match check_segment_header(&first_page, name, length, expected) {
        Ok(header) => header,
        Err(bad) => return Ok(Err(bad.to_string())),
    };
    file.rewind()?;
    let complete = || "it is complete, or of an unknown version".to_owned();
    Ok(Tail::find(name, &header, file)?.ok_or_else(complete))
}
