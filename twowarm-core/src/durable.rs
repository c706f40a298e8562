//! File operations that survive a crash at any instruction: write a temporary file, fsync it, rename it, fsync the
//! directory.
//!
//! They rely on the disk to honor fsync. On a file system that can't fsync directories, as some network file
//! systems, the new name may not be on disk when a function returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};

use crate::file_error::{FileError, if_exists};
use crate::lock::lock;

/// A temporary file. It is locked while its writer runs, so that another process can recognize the file of an
/// interrupted one, and is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Aside {
    file: Flock<File>,
    path: PathBuf,
    published: bool,
}

impl Aside {
    /// Creates a file in `directory`, which must be on the file system of the final name.
    pub(crate) fn create_in(directory: &Path, stem: &str) -> Result<Aside, FileError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        loop {
            let turn = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{stem}.{}-{turn}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)
            {
                Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                    Ok(file) if is_named(&file).map_err(FileError::of("read", &path))? => {
                        return Ok(Aside { file, path, published: false });
                    }
                    // Another process removed it as abandoned before it was locked: try the next name.
                    Ok(_) | Err((_, Errno::EWOULDBLOCK)) => continue,
                    Err((_, e)) => return Err(FileError::of("lock", &path)(e)),
                },
                // Left by a process with the same id that was killed: try the next name.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(FileError::of("create", &path)(e)),
            }
        }
    }

    /// The file, to write to.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Its temporary name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::of("fsync", &self.path))
    }

    /// Fsyncs the file and renames it, replacing an existing file.
    pub(crate) fn replace(mut self, place: &Path) -> Result<(), FileError> {
        self.sync()?;
        fs::rename(&self.path, place).map_err(FileError::of("rename to", place))?;
        self.published = true;
        sync_parent(place)
    }

    /// Fsyncs the file and renames it; fails with `AlreadyExists` if there is a file with that name.
    pub(crate) fn publish(&mut self, place: &Path) -> Result<(), FileError> {
        self.sync()?;
        rename_new(&self.path, place).map_err(FileError::of("create", place))?;
        self.published = true;
        sync_parent(place)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the file still has a name.
fn is_named(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

/// Renames a file, never over an existing one.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Some file systems, such as NFS, do not support the flag. A hard link is never made over a file either.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => done.map_err(io::Error::from),
    }
}

/// Writes a file, replacing an existing one: after a crash it has either the old or the new content.
pub(crate) fn write(place: &Path, content: &[u8]) -> Result<(), FileError> {
    filled(place, content)?.replace(place)
}

/// Creates a file with this content.
///
/// # Errors
/// With the kind `AlreadyExists` if the file exists; otherwise if it can't be written, renamed or fsynced.
pub(crate) fn create(place: &Path, content: &[u8]) -> Result<(), FileError> {
    filled(place, content)?.publish(place)
}

fn filled(place: &Path, content: &[u8]) -> Result<Aside, FileError> {
    let stem = format!(".{}", place.file_name().unwrap_or_default().to_string_lossy());
    let mut aside = Aside::create_in(parent(place), &stem)?;
    aside.file().write_all(content).map_err(FileError::of("write", place))?;
    Ok(aside)
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match if_exists(fs::remove_file(path)).map_err(FileError::of("remove", path))? {
        Some(()) => sync_parent(path),
        None => Ok(()),
    }
}

/// Renames a file to the first unused name among `NAME.suffix`, `NAME.suffix.2` and so on, and returns that name.
pub(crate) fn set_aside(path: &Path, suffix: &str) -> Result<PathBuf, FileError> {
    let mut turn = 1;
    loop {
        let aside = numbered(path, suffix, turn);
        match rename_new(path, &aside) {
            Ok(()) => return sync_parent(&aside).map(|()| aside),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => turn += 1,
            Err(e) => return Err(FileError::of("set aside", path)(e)),
        }
    }
}

/// The same for the file with this device and inode, under a lock; `None` if the name now belongs to another file.
pub(crate) fn set_aside_file(
    path: &Path,
    file: Option<(u64, u64)>,
    suffix: &str,
) -> Result<Option<PathBuf>, FileError> {
    let Some(locked) = lock_named(path)? else { return Ok(None) };
    let found = locked.metadata().map_err(FileError::of("read", path))?;
    if file.is_some_and(|file| file != (found.dev(), found.ino())) {
        return Ok(None);
    }
    set_aside(path, suffix).map(Some)
}

/// Copies a file to the first unused name among `NAME.suffix`, `NAME.suffix.2` and so on, unless one of them already
/// has the same content, and returns the name of the copy. It is a hard link if possible, because the disk may be
/// full.
pub(crate) fn keep_copy(path: &Path, suffix: &str) -> Result<PathBuf, FileError> {
    let mut turn = 1;
    loop {
        let copy = numbered(path, suffix, turn);
        match fs::hard_link(path, &copy) {
            Ok(()) => return sync_parent(&copy).map(|()| copy),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(FileError::of("copy", path)(e));
            }
            Err(_) if copy.exists() => {}
            Err(_) => {
                let content = fs::read(path).map_err(FileError::of("read", path))?;
                return create(&copy, &content).map(|()| copy);
            }
        }
        let same = || io::Result::Ok(fs::read(path)? == fs::read(&copy)?);
        if same().map_err(FileError::of("compare", path))? {
            return Ok(copy);
        }
        turn += 1;
    }
}

/// `NAME.suffix`, `NAME.suffix.2` and so on.
fn numbered(path: &Path, suffix: &str, turn: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(if turn == 1 { format!(".{suffix}") } else { format!(".{suffix}.{turn}") });
    PathBuf::from(name)
}

/// Opens and locks a file before it is renamed or replaced, so that only one of several processes does it. `None` if
/// the name does not exist or belongs to another file when the lock is acquired.
pub(crate) fn lock_named(path: &Path) -> Result<Option<Flock<File>>, FileError> {
    // Also for writing: NFS requires it for an exclusive lock.
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            File::open(path).map_err(FileError::of("open", path))?
        }
        Err(e) => return Err(FileError::of("open", path)(e)),
    };
    let locked = lock(file, path)?;
    let id = |m: &fs::Metadata| (m.dev(), m.ino());
    let opened = locked.metadata().map_err(FileError::of("read", path))?;
    let named = if_exists(fs::metadata(path)).map_err(FileError::of("read", path))?;
    Ok(named.filter(|named| id(named) == id(&opened)).map(|_| locked))
}

#[cfg(feature = "server")]
/// Creates a directory with mode 700, and its missing parents.
pub(crate) fn create_directory(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;

    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::of("create the directory", path))?;
    sync_parent(path)
}

/// Fsyncs a directory, so that the names in it are on disk.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), FileError> {
    let sync = || match File::open(directory)?.sync_all() {
        // The answer of network file systems that can't fsync a directory.
        Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
        done => done,
    };
    sync().map_err(FileError::of("fsync the directory", directory))
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    sync_directory(parent(path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Removes the files left behind by interrupted writers: every `.tmp` file that no process has locked and whose name is
/// one of ours.
pub(crate) fn remove_abandoned(
    directory: &Path,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), FileError> {
    let list = || FileError::of("list", directory);
    for entry in fs::read_dir(directory).map_err(list())? {
        let path = entry.map_err(|e| FileError::of("list", directory)(e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".tmp") || !is_ours(&name) {
            continue;
        }
        // Also for writing: NFS requires it for an exclusive lock.
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let Ok(file) = opened else { continue };
        // Held until the file is removed, so that a writer that created it but has not locked it yet notices.
        let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
        fs::remove_file(&path)
            .or_else(not_found_is_fine)
            .map_err(FileError::of("remove", &path))?;
    }
    Ok(())
}

fn not_found_is_fine(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_never_overwrites_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("f");
        create(&place, b"one").unwrap();
        let again = create(&place, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&place).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn write_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("f");
        write(&place, b"one").unwrap();
        write(&place, b"two").unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"two");
    }

    #[test]
    fn a_copy_is_made_once_and_never_overwrites_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("f"), b"one").unwrap();
        assert_eq!(keep_copy(&at("f"), "corrupt").unwrap(), at("f.corrupt"));
        assert_eq!(keep_copy(&at("f"), "corrupt").unwrap(), at("f.corrupt"));
        assert_eq!(set_aside(&at("f"), "foreign").unwrap(), at("f.foreign"));
        fs::write(at("f"), b"two").unwrap();
        assert_eq!(keep_copy(&at("f"), "corrupt").unwrap(), at("f.corrupt.2"));
        assert_eq!(fs::read(at("f.corrupt")).unwrap(), b"one");
    }

    #[test]
    fn only_files_without_a_lock_are_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("left.1-1.tmp"), b"x").unwrap();
        fs::write(dir.path().join("other"), b"x").unwrap();
        let held = Aside::create_in(dir.path(), "held").unwrap();
        remove_abandoned(dir.path(), |_| true).unwrap();
        assert!(held.path().exists());
        assert!(dir.path().join("other").exists());
        assert!(!dir.path().join("left.1-1.tmp").exists());
    }
}
