use std::fs::File;
use std::io::BufReader;

use crate::ship::content::Content;
use crate::ship::wire::{Refusal, RefusalCode, SESSION};
use crate::wal::{Completeness, WalFileName, completeness};

/// How much of a segment is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// Checks that a fetched segment is complete, by its records, before it gets its name. Its sender checked that when
/// it shipped the segment, but the other node's disk may have damaged it since. Here it would keep an intact copy from
/// being fetched or received.
pub(in crate::ship) fn check_records(
    name: WalFileName,
    file: &mut File,
    content: &Content,
) -> Result<(), Refusal> {
    let (WalFileName::Segment(_), Content::Segment(segment, header)) = (name, content) else {
        return Ok(());
    };
    let unfit = |code, retryable, message| Refusal { id: SESSION, code, retryable, message };
    match completeness(*segment, header, &mut BufReader::with_capacity(BUFFER, file)) {
        Ok(Completeness::Damaged { at, why } | Completeness::Unfinished { at, why }) => {
            let message = format!("{name} is damaged or incomplete there: WAL ends at {at}: {why}");
            Err(unfit(RefusalCode::DAMAGED_RECORDS, false, message))
        }
        Ok(_) => Ok(()),
        Err(e) => {
            let message = format!("could not read the received {name}: {e}");
            Err(unfit(RefusalCode::ARCHIVE, true, message))
        }
    }
}
