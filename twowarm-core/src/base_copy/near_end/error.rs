use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{ArchiverFailure, CopyLosses};
use crate::archive::ArchiveError;
use crate::base_copy::{LinksError, MappingError};
use crate::data_directory::{IdentityError, InUse, NotTheOwner};
use crate::file_error::FileError;
use crate::rsync::RsyncError;
use crate::server::ServerError;
use crate::ship::ssh::SshError;
use crate::ship::{LinkError, NodeError, SendError, ShipError};
use crate::timelines::HistoryFileError;
use crate::version::PgMajor;
use crate::wal::SegmentName;

/// Why a base copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A file of this node could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// This node's pg_control could not be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This node's server could not be asked, or the backup failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Another copy of this data directory is running.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The copy runs as a user that does not own the data directory.
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    /// This node's cluster could not be identified.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The other node could not be reached.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The connection to the other node failed, or it refused the copy.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The other node's archive could not be written to.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The WAL of the copy could not be shipped.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// This node's archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A timeline history file could not be read.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// rsync failed.
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    /// A tablespace can't be copied.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// A tablespace is mapped to a path that can't be used.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The data directory is a standby's.
    #[error(
        "\"{}/{file}\" exists: this is a standby. HINT: run copyToStandby on the primary",
        data_directory.display()
    )]
    Standby {
        /// The data directory.
        data_directory: PathBuf,
        /// The file that makes it a standby.
        file: &'static str,
    },
    /// The server is in recovery.
    #[error("the server in \"{}\" is in recovery. HINT: run copyToStandby on the primary", .0.display())]
    InRecovery(PathBuf),
    /// The version can't take a backup of a standby by SQL.
    #[error(
        "PostgreSQL {0} takes a base backup of a standby only by the replication protocol, which copies all files. HINT: run copyToDR on the primary"
    )]
    NoStandbyBackup(PgMajor),
    /// Archiving is turned off, so that a DR node would get no WAL after the copy.
    #[error(
        "\"{}\" does not exist: archiving is off, and the DR node would receive no WAL after the copy. HINT: run copyToStandby first",
        .0.display()
    )]
    ArchivingOff(PathBuf),
    /// The standby's archive never received WAL.
    #[error(
        "the archive \"{}\" has not received any WAL from a primary, so there is none for the copy. HINT: run copyToDR on the primary",
        .0.display()
    )]
    NothingReceived(PathBuf),
    /// The caller did not agree to the losses.
    #[error(
        "files in {} that are not part of the cluster would be lost: {}. HINT: move them away, or use --yes",
        .0.target, .0
    )]
    NotAgreed(Box<CopyLosses>),
    /// A signal of this name was received.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    /// Signals can't be held.
    #[error("could not install a signal handler: {0}")]
    Signals(io::Error),
    /// A setting prevents that WAL is shipped.
    #[error(
        "{name} is \"{value}\", so WAL is not shipped. HINT: set {name} = {wanted} in postgresql.conf and {then} the server"
    )]
    Archiving {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// The value that it must have.
        wanted: &'static str,
        /// `reload` or `restart`.
        then: &'static str,
    },
    /// The server can't start its archive_command.
    #[error(
        "the server cannot start its archive_command, since there is no file \"{}\". HINT: the directory 2warm, or a symbolic link to it, must be beside the data directory", .0.display()
    )]
    ArchiveCommandMissing(PathBuf),
    /// Parts of the cluster are symbolic links.
    #[error(
        "parts of the cluster are symbolic links, which would be copied as links ({0}). HINT: replace them by what they point to"
    )]
    InnerLinks(String),
    /// The data directory has no pg_control.
    #[error("\"{}\" does not contain global/pg_control", .0.display())]
    NoControl(PathBuf),
    /// The backup's WAL files are not in order.
    #[error(
        "the backup begins in WAL file {first} but ends in {last}, which is not after it on the same timeline"
    )]
    Segments {
        /// The segment in which the backup begins.
        first: SegmentName,
        /// The segment in which it ends.
        last: SegmentName,
    },
    /// rsync could not copy some files.
    #[error("some files could not be copied in {attempts} attempts: {cause}")]
    Partial {
        /// How often it was tried.
        attempts: u32,
        /// rsync's message.
        cause: String,
    },
    /// The copy is complete, but its WAL does not arrive.
    #[error(
        "{missing} WAL files required by the copy are missing from the archive of {node}, the first is {first}, and none arrived within {} s{}. The copy is complete; it can be started once they have arrived. HINT: {hint}",
        limit.as_secs(), told(failure)
    )]
    NotArrived {
        /// The other node.
        node: String,
        /// How many WAL files are missing.
        missing: usize,
        /// The first of them.
        first: String,
        /// The time limit.
        limit: Duration,
        /// Why the server does not archive, if it says so.
        failure: Option<Box<ArchiverFailure>>,
        /// What to do.
        hint: &'static str,
    },
    /// The copy is complete, but the server stopped before its WAL was shipped.
    #[error(
        "the server in \"{}\" stopped before {missing} WAL files required by the copy were shipped, the first is {first}. The copy is complete; it can be started once they have arrived. HINT: start the server",
        data_directory.display()
    )]
    Stopped {
        /// This node's data directory.
        data_directory: PathBuf,
        /// How many WAL files are missing.
        missing: usize,
        /// The first of them.
        first: String,
    },
    /// rsync and receiveBaseCopy run on different machines, or see different directories.
    #[error(
        "rsync does not reach the {target} in which receiveBaseCopy runs. HINT: `ssh -G {node}` (HostName, ProxyJump, ProxyCommand) and [node.{node}] in 2warm.toml must lead to the same machine"
    )]
    AnotherMachine {
        /// The other node's data directory.
        target: String,
        /// The other node.
        node: String,
    },
    /// The copy was begun and failed.
    #[error(
        "the copy in {target} is incomplete and cannot be started; run {command} again to continue it: {cause}"
    )]
    Incomplete {
        /// The other node's data directory, as `NODE:PATH`.
        target: String,
        /// The command that makes this copy.
        command: &'static str,
        /// Why it failed.
        cause: Box<CopyError>,
    },
}

fn told(failure: &Option<Box<ArchiverFailure>>) -> String {
    match failure {
        Some(failure) => {
            format!("; archive_command failed for {} at {}", failure.file, failure.time)
        }
        None => String::new(),
    }
}
