use std::fs;
use std::path::{Path, PathBuf};

use super::{BadReceipt, Receipt};
use crate::durable;
use crate::file_error::{FileError, if_exists};

/// The file with a receipt, which may not exist.
#[derive(Debug, Clone)]
pub struct ReceiptFile {
    directory: PathBuf,
    name: &'static str,
}

/// Why a receipt could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The file or its directory could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a receipt.
    #[error("invalid receipt \"{}\": {error}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        error: BadReceipt,
    },
}

impl ReceiptFile {
    /// That of an archive, `.receipt`.
    #[must_use]
    pub fn in_archive(archive: &Path) -> ReceiptFile {
        ReceiptFile { directory: archive.to_owned(), name: ".receipt" }
    }

    /// That of the old primary, `receipt` in its directory `local/replication`.
    #[must_use]
    pub fn of_node(local_replication: &Path) -> ReceiptFile {
        ReceiptFile { directory: local_replication.to_owned(), name: "receipt" }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    /// Reads the receipt. `None` only if the directory is readable and has no such file.
    ///
    /// # Errors
    /// If the file or its directory can't be read, or the file is not a receipt.
    pub fn read(&self) -> Result<Option<Receipt>, ReceiptError> {
        let path = self.path();
        let Some(text) = if_exists(fs::read(&path)).map_err(FileError::of("read", &path))? else {
            fs::read_dir(&self.directory).map_err(FileError::of("read", &self.directory))?;
            return Ok(None);
        };
        match String::from_utf8_lossy(&text).parse() {
            Ok(receipt) => Ok(Some(receipt)),
            Err(error) => Err(ReceiptError::Invalid { path, error }),
        }
    }

    /// Writes a receipt durably. It replaces an earlier one.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, receipt: &Receipt) -> Result<(), FileError> {
        durable::write(&self.path(), receipt.to_string().as_bytes())
    }

    /// Removes the file durably, if it exists.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub fn remove(&self) -> Result<(), FileError> {
        durable::remove(&self.path())
    }
}
