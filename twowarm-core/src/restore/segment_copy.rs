use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Found;
use crate::wal::{Lsn, SegmentHeader, SegmentName, SegmentWalk, WalEnd};

/// How much is read at a time, in bytes; a whole number of WAL pages of any size.
const CHUNK: usize = 1 << 20;

/// Copies a segment to where the server wants it and checks its records on the way.
///
/// Returns where the last record of the segment before begins, as this one tells; its end may stand
/// in this one, where [`crossing`](super::crossing) checks it. The target needs no fsync: until it has
/// replayed it, the server can ask again.
pub(super) fn copy_segment(
    source: &mut File,
    target: &Path,
    name: SegmentName,
    header: &SegmentHeader,
    even_if_it_ends_early: bool,
) -> Result<Option<Lsn>, Found> {
    let end = copy_checked(source, target, SegmentWalk::new(header, name), header);
    match end {
        Ok((WalEnd::Stops { at, why }, _)) if !even_if_it_ends_early => {
            remove(target);
            Err(Found::EndsEarly(at, why.to_string()))
        }
        Ok((_, links_to)) => Ok(links_to),
        Err(found) => {
            remove(target);
            Err(found)
        }
    }
}

fn copy_checked(
    source: &mut File,
    target: &Path,
    mut walk: SegmentWalk,
    header: &SegmentHeader,
) -> Result<(WalEnd, Option<Lsn>), Found> {
    let page = header.block_size() as usize;
    let mut left = header.layout().size().bytes();
    let mut out = create(target).map_err(|e| not_copied(target, e))?;
    let mut buffer = vec![0; CHUNK.min(left as usize)];
    while left > 0 {
        let want = buffer.len().min(left as usize);
        let chunk = &mut buffer[..want];
        source.read_exact(chunk).map_err(|e| match e.kind() {
            // It was whole a moment ago: somebody cuts it or writes it anew.
            io::ErrorKind::UnexpectedEof => Found::Arriving,
            _ => Found::Unreadable(format!("could not read it: {e}")),
        })?;
        chunk.chunks(page).for_each(|page| walk.push(page));
        out.write_all(chunk).map_err(|e| not_copied(target, e))?;
        left -= want as u64;
    }
    let links_to = walk.links_to();
    Ok((walk.finish(), links_to))
}

/// Copies a small file: a history or a .backup file.
pub(super) fn copy_text(text: &[u8], target: &Path) -> Result<(), Found> {
    let write = || create(target)?.write_all(text);
    write().map_err(|e| {
        remove(target);
        not_copied(target, e)
    })
}

/// Never through a link or into a file that somebody else has: what is in the way goes first.
fn create(target: &Path) -> io::Result<File> {
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)
}

fn not_copied(target: &Path, error: io::Error) -> Found {
    Found::NotCopied(format!("could not write {}: {error}", target.display()))
}

/// A torn file at the target would stop the server, or end its recovery.
pub(super) fn remove(target: &Path) {
    if let Err(e) = fs::remove_file(target)
        && e.kind() != io::ErrorKind::NotFound
    {
        log::error!("could not remove the unfinished {}: {e}", target.display());
    }
}
