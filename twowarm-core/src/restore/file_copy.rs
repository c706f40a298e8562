use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, close, lseek};

use crate::file_error::if_exists;

/// Copies a file as `cp` does, without another process: the kernel copies the bytes (or shares them if the
/// file system can), holes are kept, and the new file gets the mode of the old one less the umask.
///
/// Unlike `cp` it does not write through a link or into an existing file, refuses a target that is the
/// source, and leaves no file behind when it fails.
///
/// # Errors
/// If the source cannot be read, changes meanwhile or is the target, or if the target cannot be written.
pub fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let mut from = File::open(source)?;
    let metadata = from.metadata()?;
    if fs::metadata(target).is_ok_and(|t| (t.dev(), t.ino()) == (metadata.dev(), metadata.ino())) {
        return Err(io::Error::other("source and target are the same file"));
    }
    if_exists(fs::remove_file(target))?;
    let mode = metadata.mode() & 0o777;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    let copied = copy_content(&mut from, &mut to, &metadata);
    // A network file system may report only now that it is full.
    let copied = copied.and_then(|()| Ok(close(to)?));
    if copied.is_err() {
        // Incomplete, it would stop the server or end its recovery.
        let _ = fs::remove_file(target);
    }
    copied
}

/// Whether a file has holes: parts that were never written, or were deallocated.
///
/// # Errors
/// If the file cannot be read.
pub fn has_holes(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    // There is always a hole after the last byte.
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
        return Err(io::Error::other(format!(
            "only {copied} of {size} bytes were copied: the file changed meanwhile"
        )));
    }
    Ok(())
}

/// Allocates all blocks at once, which saves ext4 a fifth of the copy's time. The size of the file grows
/// only as it is written, so that an incomplete file never looks complete. If the file system cannot do
/// this, the copy continues without it.
fn reserve(to: &File, size: u64) {
    let _ = fallocate(to, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size as i64);
}

/// Copies the parts that hold data, without the holes, and returns the size reached.
fn copy_data(from: &mut File, to: &mut File, size: u64) -> io::Result<u64> {
    let mut at = 0;
    while at < size {
        let data = match lseek(&*from, at as i64, Whence::SeekData) {
            Ok(data) => data as u64,
            // The rest is a hole.
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
    fn a_link_at_the_target_is_replaced_and_not_written_through() {
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
