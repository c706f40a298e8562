//! The archive directory: where shipped WAL files arrive and wait for restore_command.
//!
//! A file has its final name in an archive only when it is complete, checked and on disk. An archive is
//! bound to one cluster and one sending node at a time.
//!
//! ```
//! use twowarm_core::archive::{Archive, Stored};
//!
//! # let directory = tempfile::tempdir()?;
//! let archive = Archive::open(directory.path())?;
//! let history = "00000002.history".parse()?;
//! let content = b"1\t0/3000158\tno recovery target specified\n";
//! assert_eq!(archive.put(history, content)?, Stored::New);
//! assert_eq!(archive.put(history, content)?, Stored::AlreadyThere);
//! assert!(archive.put(history, b"other content").is_err());
//! assert_eq!(archive.names()?, [history]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binding;
mod consumers;
mod error;
mod gap;
mod incoming;
mod mark;
mod other_archive;
mod relayed;
mod scratch;
#[cfg(feature = "ship")]
mod takeover;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub use binding::{BadBinding, Binding, Machines};
pub use consumers::Consumer;
pub use error::{ArchiveError, NotASuccessor};
pub use gap::{Gap, Given};
pub(crate) use gap::{gap, next_needed};
#[cfg(feature = "server")]
pub(crate) use gap::{has_segment, has_whole_segment, is_whole, wal_directories};
pub use incoming::Stored;
#[cfg(any(feature = "ship", feature = "server"))]
pub(crate) use incoming::have_same_bytes;
#[cfg(feature = "ship")]
pub(crate) use incoming::{Existing, Incoming};
#[cfg(feature = "ship")]
pub(crate) use mark::has_mark;
#[cfg(any(feature = "ship", feature = "server"))]
pub(crate) use mark::is_marked_for;
pub use mark::{check_mark, mark};
pub use other_archive::{FetchStep, OtherArchive, Wanted};
pub use scratch::ScratchFile;
#[cfg(feature = "ship")]
pub(crate) use takeover::{NodeCluster, SenderLock};

use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::wal::{SegmentName, WalFileName};

/// An archive directory that existed and was readable when it was opened.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Opens an archive. The directory is never created here: if it is missing, its disk is not mounted,
    /// and files in a new directory would be hidden below the mount point later.
    ///
    /// # Errors
    /// If the directory is missing or not readable.
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

    /// The archive directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The path that the file of this name has in the archive.
    pub(crate) fn path_of(&self, name: WalFileName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Opens a file; none only if the archive directory is readable and has no such file.
    ///
    /// # Errors
    /// If the file or the archive directory can't be read.
    pub fn find(&self, name: WalFileName) -> Result<Option<File>, ArchiveError> {
        let path = self.path_of(name);
        let file = if_exists(File::open(&path)).map_err(FileError::of("open", &path))?;
        if file.is_none() {
            self.check_readable()?;
        }
        Ok(file)
    }

    /// Reads a small file (a timeline history or backup history file), if it exists.
    ///
    /// # Errors
    /// If the file or the archive directory can't be read.
    pub fn read(&self, name: WalFileName) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(mut file) = self.find(name)? else { return Ok(None) };
        let mut content = Vec::new();
        io::Read::read_to_end(&mut file, &mut content)
            .map_err(FileError::of("read", &self.path_of(name)))?;
        Ok(Some(content))
    }

    /// The names of all WAL files in the archive, sorted: segments, `.partial`, history, backup files.
    ///
    /// # Errors
    /// If the archive directory can't be listed.
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

    /// The names of all segments, sorted.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentName>, ArchiveError> {
        let segment = |name| match name {
            WalFileName::Segment(segment) => Some(segment),
            _ => None,
        };
        Ok(self.names()?.into_iter().filter_map(segment).collect())
    }

    /// Removes a file durably, if it exists.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub fn remove(&self, name: WalFileName) -> Result<(), ArchiveError> {
        Ok(durable::remove(&self.path_of(name))?)
    }
}
