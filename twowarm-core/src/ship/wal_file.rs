use std::fs;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;
use crate::wal::WalFileName;

/// A WAL file to be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalFile {
    /// The name that it has in an archive.
    pub name: WalFileName,
    /// Where it is now.
    pub path: PathBuf,
}

impl WalFile {
    /// All WAL files of a directory, such as an archive: segments, `.partial`, history and backup files, in
    /// the order of their names. Other files are ignored.
    ///
    /// Not meant for the `pg_wal` of a running server, whose recycled segments have names of the future.
    ///
    /// # Errors
    /// If the directory can't be listed.
    pub fn list(directory: &Path) -> Result<Vec<WalFile>, FileError> {
        let failed = || FileError::of("list the directory", directory);
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                files.push(WalFile { name, path: entry.path() });
            }
        }
        files.sort_by_key(|file| file.name);
        Ok(files)
    }

    pub(super) fn is_history(&self) -> bool {
        matches!(self.name, WalFileName::History(_))
    }
}
