use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, close, lseek};

/// Copies a file as `cp` would, in this process: the kernel moves the bytes (and shares them where the
/// file system can), holes stay holes, and the new file gets the old one's mode less the umask.
///
/// Other than `cp` it never writes through a link or into a file that somebody else has open, refuses a
/// target that is the source, and leaves nothing behind when it fails.
pub fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let mut from = File::open(source)?;
    let metadata = from.metadata()?;
    if fs::metadata(target).is_ok_and(|t| (t.dev(), t.ino()) == (metadata.dev(), metadata.ino())) {
        return Err(io::Error::other("source and target are the same file"));
    }
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mode = metadata.mode() & 0o777;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    let copied = copy_content(&mut from, &mut to, &metadata);
    // A network file system may tell only now that it had no room.
    let copied = copied.and_then(|()| Ok(close(to)?));
    if copied.is_err() {
        // Torn, it would stop the server or end its recovery.
        let _ = fs::remove_file(target);
    }
    copied
}

/// Whether parts of a file were never written, or were made free again.
pub fn has_holes(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    // Behind the last byte there is always one.
    Ok(size > 0 && (lseek(&file, 0, Whence::SeekHole)? as u64) < size)
}

fn copy_content(from: &mut File, to: &mut File, metadata: &fs::Metadata) -> io::Result<()> {
    let size = metadata.len();
    let sparse = metadata.blocks() * 512 < size;
    let copied = if sparse {
        copy_data(from, to, size)?
    } else {
        reserve(to, size);
        io::copy(from, to)?
    };
    if copied != size {
        return Err(io::Error::other(format!("{copied} of {size} bytes: it changed meanwhile")));
    }
    Ok(())
}

/// Asks for all blocks at once, which spares ext4 looking for each as it comes: a fifth of the copy's time.
/// The file grows only as it is written, so that one cut short never looks complete. Where this can't be
/// had the copy goes on without.
fn reserve(to: &File, size: u64) {
    let _ = fallocate(to, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size as i64);
}

/// Copies the parts that hold data and leaves the holes out; returns the size reached.
fn copy_data(from: &mut File, to: &mut File, size: u64) -> io::Result<u64> {
    let mut at = 0;
    while at < size {
        let data = match lseek(&*from, at as i64, Whence::SeekData) {
            Ok(data) => data as u64,
            // Nothing but a hole from here on.
            Err(Errno::ENXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let hole = (lseek(&*from, data as i64, Whence::SeekHole)? as u64).min(size);
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        let copied = io::copy(&mut from.by_ref().take(hole - data), to)?;
        if copied != hole - data {
            return Ok(data + copied);
        }
        at = hole;
    }
    to.set_len(size)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("s"), dir.path().join("t"));
        let mut file = File::create(&source).unwrap();
        file.write_all(&[1; 100_000]).unwrap();
        file.seek(SeekFrom::Start(8 << 20)).unwrap();
        file.write_all(&[2; 5]).unwrap();
        file.set_len(16 << 20).unwrap();
        copy_file(&source, &target).unwrap();
        assert!(fs::read(&source).unwrap() == fs::read(&target).unwrap());
        let blocks = |path| fs::metadata(path).unwrap().blocks();
        assert!(blocks(&target) <= blocks(&source) + 64);
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("s"), dir.path().join("t"));
        let other = dir.path().join("other");
        fs::write(&source, "new").unwrap();
        fs::write(&other, "old").unwrap();
        std::os::unix::fs::symlink(&other, &target).unwrap();
        copy_file(&source, &target).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"old");
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(!target.is_symlink());
    }

    #[test]
    fn a_target_that_is_the_source_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (source, link) = (dir.path().join("s"), dir.path().join("l"));
        fs::write(&source, "x").unwrap();
        fs::hard_link(&source, &link).unwrap();
        assert!(copy_file(&source, &source).is_err() && copy_file(&source, &link).is_err());
        assert_eq!(fs::read(&source).unwrap(), b"x");
    }
}
