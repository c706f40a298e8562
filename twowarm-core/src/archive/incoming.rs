use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Archive, ArchiveError};
use crate::durable::{self, Aside};
use crate::file_error::FileError;
use crate::wal::WalFileName;

/// A file on its way into the archive. It has no name there yet, and leaves nothing behind if it is
/// dropped; what a killed writer leaves is removed when the next file begins.
#[derive(Debug)]
pub struct Incoming {
    aside: Aside,
}

/// How a file came to be in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    New,
    /// The same file was there before.
    AlreadyThere,
}

/// What the file is that stands under the name of one that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The same, as far as any server goes.
    Same,
    /// Another, which can have the name as well.
    Other,
    /// No file of that name at all, and why. It makes room.
    Foreign(String),
}

/// So often a name is looked at again that was taken and is not there.
const TURNS: u32 = 8;

impl Archive {
    /// The directory where files are written before they have their names.
    pub(super) fn incoming_directory(&self) -> PathBuf {
        self.path().join(".incoming")
    }

    /// Begins a file. Its name only helps whoever looks into `.incoming`.
    pub fn begin(&self, name: &str) -> Result<Incoming, ArchiveError> {
        let directory = self.incoming_directory();
        // Not with its parents: a missing archive directory is an error, see `open`.
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::Missing(self.path().to_owned()));
            }
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("create the directory", &directory)(e).into());
            }
            _ => {}
        }
        self.sweep()?;
        Ok(Incoming { aside: Aside::create_in(&directory, name)? })
    }

    /// Removes what killed writers left behind.
    pub fn sweep(&self) -> Result<(), ArchiveError> {
        match durable::remove_abandoned(&self.incoming_directory()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => Ok(done?),
        }
    }

    /// Puts a whole file into the archive: all of [`begin`](Archive::begin) and
    /// [`store`](Incoming::store) for content at hand.
    pub fn put(&self, name: WalFileName, content: &[u8]) -> Result<Put, ArchiveError> {
        let mut incoming = self.begin(&name.to_string())?;
        incoming.write(content)?;
        incoming.store(self, name, |_, _| Ok(Standing::Other))
    }

    /// Proves that files can be received: writes a scratch file where they are, fsyncs it, and removes
    /// it again.
    pub fn probe(&self) -> Result<(), ArchiveError> {
        let mut incoming = self.begin("probe")?;
        incoming.write(&[0; 8192])?;
        let path = incoming.aside.path().to_owned();
        incoming.aside.file().sync_all().map_err(FileError::of("fsync", &path))?;
        drop(incoming);
        Ok(durable::sync_directory(self.path())?)
    }
}

impl Incoming {
    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.aside.path().to_owned();
        Ok(self.aside.file().write_all(bytes).map_err(FileError::of("write", &path))?)
    }

    /// The file as it stands, from its start, to check it.
    pub fn reread(&mut self) -> Result<&mut File, ArchiveError> {
        let path = self.aside.path().to_owned();
        let file = self.aside.file();
        file.seek(SeekFrom::Start(0)).map_err(FileError::of("read", &path))?;
        Ok(file)
    }

    /// Gives it its name, durably; when this returns, the file survives a crash.
    ///
    /// A file that stands under the name is never overwritten. If it has the same content, it is made
    /// durable, since whoever put it there may have been killed just before. Else `judge` is given both,
    /// the new one first, and says what it is; one that is foreign is kept as `NAME.foreign`.
    pub fn store(
        mut self,
        archive: &Archive,
        name: WalFileName,
        mut judge: impl FnMut(&mut File, &mut File) -> Result<Standing, ArchiveError>,
    ) -> Result<Put, ArchiveError> {
        let place = archive.place(name);
        for _ in 0..TURNS {
            match self.aside.publish(&place) {
                Ok(()) => return Ok(Put::New),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e.into()),
            }
            let mut existing = match File::open(&place) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(FileError::of("open", &place)(e).into()),
            };
            match self.compare(&mut existing, &place, &mut judge)? {
                Standing::Same => {
                    existing.sync_all().map_err(FileError::of("fsync", &place))?;
                    durable::sync_directory(archive.path())?;
                    return Ok(Put::AlreadyThere);
                }
                Standing::Other => return Err(ArchiveError::Conflict(place)),
                Standing::Foreign(why) => make_room(&place, &existing, &why)?,
            }
        }
        Err(ArchiveError::Vanished(place))
    }

    fn compare(
        &mut self,
        existing: &mut File,
        place: &Path,
        judge: &mut impl FnMut(&mut File, &mut File) -> Result<Standing, ArchiveError>,
    ) -> Result<Standing, ArchiveError> {
        let path = self.aside.path().to_owned();
        let incoming = self.reread()?;
        if same(incoming, existing, &path, place)? {
            return Ok(Standing::Same);
        }
        judge(incoming, existing)
    }

    /// Puts it in the place of a file that is not a WAL file.
    pub(super) fn replace(self, place: &Path) -> Result<(), ArchiveError> {
        Ok(self.aside.replace(place)?)
    }

    /// Gives it a name that is not a WAL file's; whether it was the first to do so.
    pub(super) fn publish_first(mut self, place: &Path) -> Result<bool, ArchiveError> {
        match self.aside.publish(place) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// Renames the file that was judged, and no other that took its place meanwhile.
fn make_room(place: &Path, judged: &File, why: &str) -> Result<(), FileError> {
    let Some(locked) = durable::lock_named(place)? else { return Ok(()) };
    let id = |file: &File| file.metadata().map(|m| (m.dev(), m.ino()));
    if id(&locked).map_err(FileError::of("read", place))?
        != id(judged).map_err(FileError::of("read", place))?
    {
        return Ok(());
    }
    let aside = durable::set_aside(place, "foreign")?;
    log::error!(
        "{} was not the file of its name ({why}); it is kept as {}, and the file that came in takes its place",
        place.display(),
        aside.display()
    );
    Ok(())
}

/// Whether two files hold the same bytes.
fn same(a: &mut File, b: &mut File, path_a: &Path, path_b: &Path) -> Result<bool, FileError> {
    let length =
        |file: &File, path| file.metadata().map(|m| m.len()).map_err(FileError::of("read", path));
    if length(a, path_a)? != length(b, path_b)? {
        return Ok(false);
    }
    let (mut of_a, mut of_b) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    loop {
        let got = a.read(&mut of_a).map_err(FileError::of("read", path_a))?;
        if got == 0 {
            return Ok(true);
        }
        match b.read_exact(&mut of_b[..got]) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            done => done.map_err(FileError::of("read", path_b))?,
        }
        if of_a[..got] != of_b[..got] {
            return Ok(false);
        }
    }
}
