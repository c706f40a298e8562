use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::file_error::FileError;
use crate::wal::{WalFileName, is_same_segment};

/// How much of a file is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// Whether two files of this name are equal, or the same segment.
pub(super) fn is_same_file(name: WalFileName, a: &Path, b: &Path) -> Result<bool, FileError> {
    let open = |path: &Path| {
        let file = File::open(path).map_err(FileError::of("open", path))?;
        Ok(BufReader::with_capacity(BUFFER, file))
    };
    let failed = || FileError::of::<io::Error>("read", b);
    if are_equal(&mut open(a)?, &mut open(b)?).map_err(failed())? {
        return Ok(true);
    }
    match name {
        WalFileName::Segment(segment) | WalFileName::Partial(segment) => {
            is_same_segment(segment, &mut open(a)?, &mut open(b)?).map_err(failed())
        }
        WalFileName::History(_) | WalFileName::Backup(..) => Ok(false),
    }
}

fn are_equal(a: &mut impl Read, b: &mut impl Read) -> io::Result<bool> {
    let (mut from_a, mut from_b) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let (read_a, read_b) = (fill(a, &mut from_a)?, fill(b, &mut from_b)?);
        if from_a[..read_a] != from_b[..read_b] {
            return Ok(false);
        }
        if read_a < BUFFER {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
