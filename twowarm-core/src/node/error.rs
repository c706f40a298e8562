use std::io;
use std::path::PathBuf;

use super::{EnvironmentError, PgdataSource, SettingsError};
use crate::file_error::FileError;
use crate::identifiers::{NotANodeName, NotAnId};
use crate::retry::Retryable;

/// Why the 2warm tree of this node, or a value in it, can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// PGROOT does not contain a 2warm tree.
    #[error(
        "\"{}\" is not a directory. PGROOT must contain a 2warm installation. HINT: set PGROOT, or call the command by its path in 2warm/global/replication",
        .0.display()
    )]
    NoTree(PathBuf),
    /// `2warm/local`, or its directory `replication`, does not exist.
    #[error(
        "\"{}\" does not exist, so the configuration of this node is not known. HINT: mount its disk or correct the link; on a new node create the directory, and the directory replication in it",
        .0.display()
    )]
    NoLocal(PathBuf),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// `environment.sh` can't be read, or does not determine a required value.
    #[error("{}: {error}", path.display())]
    Environment {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: EnvironmentError,
    },
    /// `2warm.toml` is invalid.
    #[error("{}: {error}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: SettingsError,
    },
    /// The name of another node is invalid.
    #[error("{}: {error}", path.display())]
    NodeName {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: NotANodeName,
    },
    /// The node id is invalid.
    #[error(
        "{}: {error}. HINT: replace it by the node_id in the file .owner of the archive that this node ships to; if this node does not ship WAL, remove the file",
        path.display()
    )]
    NodeId {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: NotAnId,
    },
    /// PGDATA is not the data directory of the server that called.
    #[error(
        "{named_by} sets PGDATA to \"{}\", but the data directory of the server that called is \"{}\". HINT: correct {named_by}",
        named.display(), found.display()
    )]
    AnotherCluster {
        /// What sets PGDATA.
        named_by: PgdataSource,
        /// The value of PGDATA.
        named: PathBuf,
        /// The data directory of the server.
        found: PathBuf,
    },
    /// A relative PGDATA matches two directories.
    #[error(
        "{named_by} sets PGDATA to the relative path \"{}\", but both \"{}\" and \"{}\" exist. HINT: write the absolute path",
        named.display(), found[0].display(), found[1].display()
    )]
    AmbiguousPgdata {
        /// What sets PGDATA.
        named_by: PgdataSource,
        /// The value of PGDATA.
        named: PathBuf,
        /// The two directories.
        found: [PathBuf; 2],
    },
    /// Nothing sets PGDATA.
    #[error(
        "PGDATA is not known. HINT: set it in \"{}\"{}",
        file.display(),
        ignored.as_ref().map(|lines| format!(", where only assignments are read; ignored: {lines}"))
            .unwrap_or_default()
    )]
    NoPgdata {
        /// `environment.sh`.
        file: PathBuf,
        /// The lines of it that are ignored, if any.
        ignored: Option<String>,
    },
    /// The data directory does not exist.
    #[error(
        "data directory \"{}\" is not a directory (PGDATA is set by {named_by}). HINT: mount its disk, or correct PGDATA in 2warm/local/environment.sh; for a new standby create an empty one as the user that runs the server: mkdir -m 700 {}",
        path.display(), path.display()
    )]
    PgdataNotADirectory {
        /// The data directory.
        path: PathBuf,
        /// What sets PGDATA.
        named_by: PgdataSource,
    },
    /// The carrier of a node requires the path of its archive.
    #[error(
        "the archive of {node} is not known. HINT: set archive under [node.{node}] in \"{}\": for carrier \"local\" the directory where it is mounted on this node, for \"rsync\" its path on {node}",
        file.display()
    )]
    NoArchiveOfNode {
        /// `2warm.toml`.
        file: PathBuf,
        /// The node.
        node: String,
    },
    /// A command on another node can't be started.
    #[cfg(feature = "ship")]
    #[error(transparent)]
    Ssh(#[from] crate::ship::ssh::SshError),
    /// `othernode` is missing or empty.
    #[error("no other node is configured. HINT: write its host name into \"{}\"", .0.display())]
    NoOtherNode(PathBuf),
    /// `drnode` is missing or empty.
    #[error("no DR node is configured. HINT: write its host name into \"{}\"", .0.display())]
    NoDrNode(PathBuf),
}

impl Retryable for InstallError {
    /// True for an I/O error while a file is read. A missing or invalid file must be corrected first.
    fn is_retryable(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        matches!(self, InstallError::File(e) if !matches!(e.kind(), NotFound | PermissionDenied))
    }
}
