//! The archive directory: where shipped WAL files arrive and wait for restore_command.
//!
//! An archive never lies: a file stands in it under its final name only when it is whole, checked and
//! on disk. It belongs to one cluster and one sending node at a time.

mod error;
mod gap;
mod incoming;
mod mark;
mod owner;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub use error::ArchiveError;
pub use gap::{Gap, Given, gap};
pub use incoming::{Incoming, Put, Standing};
pub use mark::{check_mark, mark};
pub use owner::{BadOwner, Machines, Owner};

use crate::durable;
use crate::file_error::FileError;
use crate::wal::WalFileName;

/// An archive directory that exists and can be read.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Opens an archive. It is never made here: a directory that is missing is a disk that is not
    /// mounted, and files put into a new one below the mount point would vanish when it is.
    pub fn open(directory: &Path) -> Result<Archive, ArchiveError> {
        let archive = Archive { directory: directory.to_owned() };
        archive.check_readable()?;
        Ok(archive)
    }

    fn check_readable(&self) -> Result<(), ArchiveError> {
        match fs::read_dir(&self.directory) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(ArchiveError::Missing(self.directory.clone()))
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                Err(ArchiveError::NotADirectory(self.directory.clone()))
            }
            Err(e) => Err(FileError::of("read the archive directory", &self.directory)(e).into()),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Where a file of this name stands, or would.
    pub fn place(&self, name: WalFileName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Opens a file; none only if it is truly absent, from a directory that can be read.
    pub fn find(&self, name: WalFileName) -> Result<Option<File>, ArchiveError> {
        let place = self.place(name);
        match File::open(&place) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.check_readable()?;
                Ok(None)
            }
            Err(e) => Err(FileError::of("open", &place)(e).into()),
        }
    }

    /// Reads a small file (a history, a backup file) whole, if it is there.
    pub fn read(&self, name: WalFileName) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(mut file) = self.find(name)? else { return Ok(None) };
        let mut content = Vec::new();
        io::Read::read_to_end(&mut file, &mut content)
            .map_err(FileError::of("read", &self.place(name)))?;
        Ok(Some(content))
    }

    /// The names of the WAL files in it, in order; anything else there is left out.
    pub fn names(&self) -> Result<Vec<WalFileName>, ArchiveError> {
        let failed = || FileError::of("list the archive directory", &self.directory);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            names.extend(name.to_str().and_then(|name| name.parse::<WalFileName>().ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes a file out, for good; one that is not there is fine.
    pub fn remove(&self, name: WalFileName) -> Result<(), ArchiveError> {
        Ok(durable::remove(&self.place(name))?)
    }
}
