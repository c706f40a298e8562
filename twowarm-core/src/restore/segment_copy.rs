use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::close;

use super::Found;
use crate::file_error::if_exists;
use crate::wal::{Lsn, SegmentHeader, SegmentName, SegmentWalk, WalEnd};

/// How much is read at a time, in bytes; a whole number of WAL pages of any size.
const CHUNK: usize = 1 << 20;

/// Copies a segment to the target and checks its records on the way.
///
/// Returns where the last record of the previous segment begins, according to this one; the end of that
/// record may be in this one, where [`crossing`](super::crossing) checks it. The target needs no fsync:
/// until the server has replayed it, it can request it again.
///
/// With `as_it_is` a damaged or incomplete segment is copied too, padded with zeros to the size of a
/// segment: on a smaller file a server stops, on zeros it ends recovery.
pub(super) fn copy_segment(
    source: &mut File,
    target: &Path,
    name: SegmentName,
    header: &SegmentHeader,
    as_it_is: bool,
) -> Result<Option<Lsn>, Found> {
    let mut walk = SegmentWalk::new(header, name);
    let copied = copy_walking(source, target, &mut walk, header, as_it_is);
    let links_to = walk.links_to();
    let refused = match copied.map(|()| walk.finish()) {
        Ok(WalEnd::Stops { at, why }) if !as_it_is => {
            Found::Damaged(format!("segment is incomplete or damaged: WAL ends at {at}: {why}"))
        }
        Ok(_) => return Ok(links_to),
        Err(found) => found,
    };
    remove(target);
    Err(refused)
}

fn copy_walking(
    source: &mut File,
    target: &Path,
    walk: &mut SegmentWalk,
    header: &SegmentHeader,
    as_it_is: bool,
) -> Result<(), Found> {
    let page = header.block_size() as usize;
    let mut left = header.layout().size().bytes();
    let mut out = create(target).map_err(|e| not_copied(target, e))?;
    let mut buffer = vec![0; CHUNK.min(left as usize)];
    while left > 0 {
        let want = buffer.len().min(left as usize);
        let chunk = &mut buffer[..want];
        let read = read_up_to(source, chunk)
            .map_err(|e| Found::Unreadable(format!("could not read the segment: {e}")))?;
        if read < want && !as_it_is {
            // It was complete a moment ago, and is being truncated or rewritten.
            return Err(Found::Arriving);
        }
        chunk[read..].fill(0);
        chunk.chunks(page).for_each(|page| walk.push(page));
        out.write_all(chunk).map_err(|e| not_copied(target, e))?;
        left -= want as u64;
    }
    // A network file system may report only now that it had no space.
    close(out).map_err(|e| not_copied(target, e.into()))
}

/// Reads until the buffer is full or the file ends, and returns how many bytes were read.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

/// Writes a small file: a history or a `.backup` file.
pub(super) fn copy_text(text: &[u8], target: &Path) -> Result<(), Found> {
    let write = || {
        let mut out = create(target)?;
        out.write_all(text)?;
        Ok(close(out)?)
    };
    write().map_err(|e: io::Error| {
        remove(target);
        not_copied(target, e)
    })
}

/// Removes an existing file first, so that nothing is written through a link or into another file.
fn create(target: &Path) -> io::Result<File> {
    if_exists(fs::remove_file(target))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)
}

fn not_copied(target: &Path, error: io::Error) -> Found {
    Found::NotCopied(format!("could not write \"{}\": {error}", target.display()))
}

/// An incomplete file at the target would stop the server, or end its recovery.
pub(super) fn remove(target: &Path) {
    if let Err(e) = if_exists(fs::remove_file(target)) {
        log::error!("could not remove the incomplete file \"{}\": {e}", target.display());
    }
}
