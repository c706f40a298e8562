use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::close;

use super::Found;
use crate::wal::{Lsn, PageHeader, SegmentHeader, SegmentName, SegmentWalk, WalEnd};

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
    let copied = copy_checked(source, target, SegmentWalk::new(header, name), name, header);
    let refused = match copied {
        Ok(Copied { end: WalEnd::Stops { at, why }, goes_on, .. }) => {
            // A log that was never written further has zeros or an older log's pages behind its end.
            if goes_on {
                Found::Corrupt(format!("{name} in the archive is damaged at {at}: {why}"))
            } else if even_if_it_ends_early {
                return Ok(None);
            } else {
                Found::EndsEarly(at, why.to_string())
            }
        }
        Ok(Copied { links_to, .. }) => return Ok(links_to),
        Err(found) => found,
    };
    remove(target);
    Err(refused)
}

/// What was seen of a segment while it was copied.
struct Copied {
    end: WalEnd,
    links_to: Option<Lsn>,
    /// Behind the place where its WAL stops there is more of this very segment.
    goes_on: bool,
}

fn copy_checked(
    source: &mut File,
    target: &Path,
    mut walk: SegmentWalk,
    name: SegmentName,
    header: &SegmentHeader,
) -> Result<Copied, Found> {
    let start = header.layout().start(name.place).expect("the header was checked against the name");
    let page = header.block_size() as usize;
    let mut left = header.layout().size().bytes();
    let mut out = create(target).map_err(|e| not_copied(target, e))?;
    let mut buffer = vec![0; CHUNK.min(left as usize)];
    let mut address = start;
    let mut goes_on = false;
    while left > 0 {
        let want = buffer.len().min(left as usize);
        let chunk = &mut buffer[..want];
        source.read_exact(chunk).map_err(|e| match e.kind() {
            // It was whole a moment ago: somebody cuts it or writes it anew.
            io::ErrorKind::UnexpectedEof => Found::Arriving,
            _ => Found::Unreadable(format!("could not read it: {e}")),
        })?;
        for page in chunk.chunks(page) {
            let had_stopped = matches!(walk.ended(), Some(WalEnd::Stops { .. }));
            walk.push(page);
            if let Some(WalEnd::Stops { why, .. }) = walk.ended() {
                goes_on |= match why.record() {
                    _ if had_stopped => is_page_at(page, address),
                    Some(record) => has_link_to(page, record),
                    None => false,
                };
            }
            address.0 += page.len() as u64;
        }
        out.write_all(chunk).map_err(|e| not_copied(target, e))?;
        left -= want as u64;
    }
    // A network file system may tell only now that it had no room.
    close(out).map_err(|e| not_copied(target, e.into()))?;
    let links_to = walk.links_to();
    Ok(Copied { end: walk.finish(), links_to, goes_on })
}

fn is_page_at(page: &[u8], address: Lsn) -> bool {
    PageHeader::parse(page).is_ok_and(|header| header.address == address)
}

/// Whether a record on the page says that the one before it is at this place. Records are aligned to
/// eight bytes and have that field at 4 (two halves, high one first), 8 or 16.
fn has_link_to(page: &[u8], record: Lsn) -> bool {
    let joined = record.0.to_le_bytes();
    let halves = record.0.rotate_left(32).to_le_bytes();
    let fields = page.windows(8).step_by(4).enumerate();
    fields.skip(1).any(|(n, field)| if n % 2 == 0 { field == joined } else { field == halves })
}

/// Copies a small file: a history or a .backup file.
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
