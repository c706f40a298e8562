use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{RecoveryConfig, RecoveryConfigError};
use crate::data_directory::RecoveryMode;
use crate::file_error::FileError;
use crate::version::PgMajor;

/// Where the recovery settings of a standby come from, for a server of any version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverySource {
    /// A file in the format of `recovery.conf`, for every version of the server. It need not exist.
    pub file: PathBuf,
    /// The recovery mode; if there is none, `standby_mode` in the file decides, else the version.
    pub mode: Option<RecoveryMode>,
    /// The restore_command, unless the file sets one. It must begin with `exec`: a shell that fails to fork
    /// exits 2, which ends recovery in warm mode.
    pub restore_command: String,
}

impl RecoverySource {
    /// The settings for a server of this version.
    ///
    /// # Errors
    /// If the file can't be read, or is not valid for the version; see [`RecoveryConfig::parse`].
    pub fn read(&self, major: PgMajor) -> Result<RecoveryConfig, RecoveryConfigError> {
        RecoveryConfig::parse(&read_if_exists(&self.file)?, self, major)
    }
}

pub(super) fn read_if_exists(path: &Path) -> Result<String, FileError> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(FileError::of("read", path)),
    }
}
