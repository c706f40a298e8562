use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
#[cfg(feature = "ship")]
use std::time::SystemTime;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

#[cfg(feature = "ship")]
use super::ScratchFile;
use super::{Archive, ArchiveError};
use crate::durable::{self, Aside};
use crate::file_error::{FileError, if_exists};
use crate::wal::WalFileName;

/// A file that is being written for the archive. It has no name there yet and is removed when it is
/// dropped; files left behind by interrupted writers are removed when the next file begins.
#[derive(Debug)]
pub(crate) struct Incoming {
    written: Written,
    /// Up to where the disk was told to write.
    flushed: u64,
}

#[derive(Debug)]
enum Written {
    Aside(Aside),
    #[cfg(feature = "ship")]
    Scratch(ScratchFile),
}

/// How a file came to be in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// The same file was there before.
    AlreadyThere,
}

/// How the existing file of a name compares with an incoming one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Existing {
    /// For a server they are the same.
    Same,
    /// They differ, and both can have the name.
    Different,
    /// The existing one does not match the name, for this reason. It is renamed.
    #[cfg_attr(not(feature = "ship"), expect(dead_code))]
    Foreign(String),
}

/// The disk is told to write after each of these many bytes.
const FLUSH_INTERVAL: u64 = 2 * 1024 * 1024;

/// How often a name is tried again that was taken when the file was published, and free afterwards.
const ATTEMPTS: u32 = 8;

impl Archive {
    /// The directory where files are written before they get their names.
    pub(super) fn incoming_directory(&self) -> PathBuf {
        self.path().join(".incoming")
    }

    /// Begins a file. The name is part of the temporary file's name.
    pub(crate) fn begin(&self, name: &str) -> Result<Incoming, ArchiveError> {
        let directory = self.incoming_directory();
        // Without its parents: a missing archive directory is an error, see `open`.
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::Missing(self.path().to_owned()));
            }
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("create the directory", &directory)(e).into());
            }
            _ => {}
        }
        self.remove_interrupted()?;
        Ok(Incoming::new(Written::Aside(Aside::create_in(&directory, name)?)))
    }

    /// Removes files left behind by interrupted writers.
    fn remove_interrupted(&self) -> Result<(), ArchiveError> {
        match durable::remove_abandoned(&self.incoming_directory(), |_| true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => Ok(done?),
        }
    }

    /// Puts a whole file into the archive, durably. Its content is not checked.
    ///
    /// # Errors
    /// If a file with other content has the name, or the file can't be written.
    pub fn put(&self, name: WalFileName, content: &[u8]) -> Result<Stored, ArchiveError> {
        let mut incoming = self.begin(&name.to_string())?;
        incoming.write(content)?;
        incoming.store(self, name, |_, _| Ok(Existing::Different))
    }

    /// Puts a copy of a file into the archive, durably, if the copy passes the check. The check reads the copy, because
    /// a server may recycle its own file meanwhile. `None` if it does not pass.
    ///
    /// # Errors
    /// If another file has the name, or a file can't be read or written.
    #[cfg(feature = "server")]
    pub(crate) fn put_copy(
        &self,
        name: WalFileName,
        from: &Path,
        check: impl FnOnce(&mut File) -> io::Result<bool>,
    ) -> Result<Option<Stored>, ArchiveError> {
        let source = if_exists(File::open(from)).map_err(FileError::of("open", from))?;
        let Some(mut source) = source else { return Ok(None) };
        let mut incoming = self.begin(&name.to_string())?;
        let path = incoming.path().to_owned();
        io::copy(&mut source, incoming.file()).map_err(FileError::of("copy", from))?;
        if !check(incoming.reread()?).map_err(FileError::of("read", &path))? {
            return Ok(None);
        }
        incoming.store(self, name, |_, _| Ok(Existing::Different)).map(Some)
    }

    /// Checks that files can be stored: writes, fsyncs and removes a temporary file in the archive.
    ///
    /// # Errors
    /// If one of these fails.
    pub fn probe(&self) -> Result<(), ArchiveError> {
        let mut incoming = self.begin("probe")?;
        incoming.write(&[0; 8192])?;
        let path = incoming.path().to_owned();
        incoming.file().sync_all().map_err(FileError::of("fsync", &path))?;
        drop(incoming);
        Ok(durable::sync_directory(self.path())?)
    }
}

impl Incoming {
    fn new(written: Written) -> Incoming {
        Incoming { written, flushed: 0 }
    }

    /// A file that is not stored in an archive.
    #[cfg(feature = "ship")]
    pub(crate) fn to_scratch(scratch: ScratchFile) -> Incoming {
        Incoming::new(Written::Scratch(scratch))
    }

    /// Whether it is complete when it is written and checked, without a name.
    #[cfg(feature = "ship")]
    pub(crate) fn is_scratch(&self) -> bool {
        matches!(self.written, Written::Scratch(_))
    }

    fn file(&mut self) -> &mut File {
        match &mut self.written {
            Written::Aside(aside) => aside.file(),
            #[cfg(feature = "ship")]
            Written::Scratch(scratch) => scratch.file(),
        }
    }

    /// Its temporary name; for a scratch file the directory.
    fn path(&self) -> &Path {
        match &self.written {
            Written::Aside(aside) => aside.path(),
            #[cfg(feature = "ship")]
            Written::Scratch(scratch) => scratch.directory(),
        }
    }

    /// Fails with `AlreadyExists` if the name is taken.
    fn publish(&mut self, path: &Path) -> Result<(), FileError> {
        match &mut self.written {
            Written::Aside(aside) => aside.publish(path),
            #[cfg(feature = "ship")]
            Written::Scratch(_) => {
                let error = io::Error::other("a scratch file gets no name");
                Err(FileError::of("create", path)(error))
            }
        }
    }

    /// Adds bytes at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.path().to_owned();
        self.file().write_all(bytes).map_err(FileError::of("write", &path))?;
        self.begin_flush();
        Ok(())
    }

    /// Lets the kernel begin to write to disk while more data arrives, so that the fsync at the end takes a third of
    /// the time. The advice says that the data is not needed soon; what is not on disk yet stays in memory all the
    /// same. Without effect it does no harm.
    fn begin_flush(&mut self) {
        let from = self.flushed;
        let file = self.file();
        let Ok(to) = file.stream_position() else { return };
        if to >= from + FLUSH_INTERVAL {
            let length = (to - from) as i64;
            let _ =
                posix_fadvise(&*file, from as i64, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            self.flushed = to;
        }
    }

    /// Adds zeros at the end, as a hole.
    #[cfg(feature = "ship")]
    pub(crate) fn write_zeros(&mut self, length: u64) -> Result<(), ArchiveError> {
        let path = self.path().to_owned();
        let file = self.file();
        let mut extend = || {
            let end = file.stream_position()?.saturating_add(length);
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))
        };
        extend().map_err(FileError::of("extend", &path))?;
        Ok(())
    }

    /// Sets its modification time, after everything was written. A time in the future is not set, since some file
    /// systems do not support it and readers take such a file for one that is still being written.
    #[cfg(feature = "ship")]
    pub(crate) fn set_modified(&mut self, at: SystemTime) {
        if at <= SystemTime::now()
            && let Err(e) = self.file().set_modified(at)
        {
            log::debug!("could not set the time of \"{}\": {e}", self.path().display());
        }
    }

    /// The file so far, at its start.
    pub(crate) fn reread(&mut self) -> Result<&mut File, ArchiveError> {
        let path = self.path().to_owned();
        let file = self.file();
        file.seek(SeekFrom::Start(0)).map_err(FileError::of("read", &path))?;
        Ok(file)
    }

    /// Gives it its name, durably; when this returns, the file survives a crash.
    ///
    /// An existing file of the name is never overwritten. If it has the same content, it is fsynced, since
    /// its writer may have been killed before it did. Otherwise `compare` gets both, the incoming one first;
    /// a foreign one is kept as `NAME.foreign`.
    pub(crate) fn store(
        mut self,
        archive: &Archive,
        name: WalFileName,
        mut compare: impl FnMut(&mut File, &mut File) -> Result<Existing, ArchiveError>,
    ) -> Result<Stored, ArchiveError> {
        let path = archive.path_of(name);
        for _ in 0..ATTEMPTS {
            match self.publish(&path) {
                Ok(()) => return Ok(Stored::New),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e.into()),
            }
            let existing = if_exists(File::open(&path)).map_err(FileError::of("open", &path))?;
            let Some(mut existing) = existing else { continue };
            let temporary = self.path().to_owned();
            let incoming = self.reread()?;
            let found = if same_bytes(incoming, &mut existing, &temporary, &path)? {
                Existing::Same
            } else {
                compare(incoming, &mut existing)?
            };
            match found {
                Existing::Same => {
                    existing.sync_all().map_err(FileError::of("fsync", &path))?;
                    durable::sync_directory(archive.path())?;
                    return Ok(Stored::AlreadyThere);
                }
                Existing::Different => return Err(ArchiveError::Conflict(path)),
                Existing::Foreign(why) => set_aside(&path, &existing, &why)?,
            }
        }
        Err(ArchiveError::DanglingLink(path))
    }

    /// Gives it a name that is not a WAL file's, over an existing file.
    pub(super) fn replace(self, path: &Path) -> Result<(), ArchiveError> {
        match self.written {
            Written::Aside(aside) => Ok(aside.replace(path)?),
            #[cfg(feature = "ship")]
            Written::Scratch(_) => Err(ArchiveError::DanglingLink(path.to_owned())),
        }
    }

    /// Gives it a name that is not a WAL file's; false if the name is taken.
    pub(super) fn publish_first(mut self, path: &Path) -> Result<bool, ArchiveError> {
        match self.publish(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// Renames the file that was compared, but not another one that got its name meanwhile.
fn set_aside(path: &Path, compared: &File, why: &str) -> Result<(), FileError> {
    let found = compared.metadata().map_err(FileError::of("read", path))?;
    let kept = durable::set_aside_file(path, Some((found.dev(), found.ino())), "foreign")?;
    if let Some(kept) = kept {
        log::error!(
            "the content of \"{}\" does not match its name ({why}). The file was renamed to \"{}\", and the received file replaces it",
            path.display(),
            kept.display()
        );
    }
    Ok(())
}

/// Whether two files have the same content.
fn same_bytes(a: &mut File, b: &mut File, path_a: &Path, path_b: &Path) -> Result<bool, FileError> {
    let length =
        |file: &File, path| file.metadata().map(|m| m.len()).map_err(FileError::of("read", path));
    if length(a, path_a)? != length(b, path_b)? {
        return Ok(false);
    }
    have_same_bytes(a, b).map_err(FileError::of("compare", path_b))
}

/// Whether two inputs have the same bytes.
pub(crate) fn have_same_bytes(a: &mut dyn Read, b: &mut dyn Read) -> io::Result<bool> {
    const BUFFER: u64 = 256 * 1024;
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        of_a.clear();
        of_b.clear();
        a.take(BUFFER).read_to_end(&mut of_a)?;
        b.take(BUFFER).read_to_end(&mut of_b)?;
        if of_a != of_b {
            return Ok(false);
        }
        if of_a.is_empty() {
            return Ok(true);
        }
    }
}
