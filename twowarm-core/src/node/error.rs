use std::io;
use std::path::PathBuf;

use super::{EnvironmentError, PgdataSource, SettingsError};
use crate::file_error::FileError;
use crate::identifiers::{NotANodeName, NotAnId};

/// Why the installation is unusable.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum InstallError {
    #[error(
        "{} is not a directory. PGROOT must hold a 2warm installation: set PGROOT, or call the command by its path in 2warm/global/replication",
        .0.display()
    )]
    NoTree(PathBuf),
    #[error(
        "{} does not exist, so the configuration of this node is not known. Mount its disk or correct the link; on a new node create the directory, and the directory replication in it",
        .0.display()
    )]
    NoLocal(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {error}", path.display())]
    Environment { path: PathBuf, error: EnvironmentError },
    #[error("{}: {error}", path.display())]
    Settings { path: PathBuf, error: SettingsError },
    #[error("{}: {error}", path.display())]
    NodeName { path: PathBuf, error: NotANodeName },
    #[error(
        "{}: {error}. Write into it the node_id that the file .owner has in the archive this node ships to; if this node ships to none, remove the file",
        path.display()
    )]
    NodeId { path: PathBuf, error: NotAnId },
    #[error(
        "{source} sets PGDATA to {}, but the data directory of the server that called is {}. Correct {source}",
        named.display(), found.display(), source = named_by
    )]
    AnotherCluster { named_by: PgdataSource, named: PathBuf, found: PathBuf },
    #[error(
        "{named_by} sets PGDATA to the relative path {}, and there are both {} and {}. Write the whole path",
        named.display(), found[0].display(), found[1].display()
    )]
    AmbiguousPgdata { named_by: PgdataSource, named: PathBuf, found: [PathBuf; 2] },
    #[error(
        "PGDATA is not known. Set it in {}{}",
        file.display(),
        passed_over.as_ref().map(|lines| format!(", where only assignments are read; passed over: {lines}"))
            .unwrap_or_default()
    )]
    NoPgdata { file: PathBuf, passed_over: Option<String> },
    #[error(
        "the data directory {} is not a directory (PGDATA is set by {named_by}). Mount its disk, or correct PGDATA in 2warm/local/environment.sh; for a new standby create an empty one, as the user that runs the server: mkdir -m 700 {}",
        path.display(), path.display()
    )]
    PgdataNotADirectory { path: PathBuf, named_by: PgdataSource },
    #[error("no other node is configured. Write its host name into {}", .0.display())]
    NoOtherNode(PathBuf),
}

impl InstallError {
    /// Whether the same again, later, may go well: what the system could not read this time. What is
    /// missing or wrong must be corrected first.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        matches!(self, InstallError::File(e) if !matches!(e.kind(), NotFound | PermissionDenied))
    }
}
