use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Destination;
use crate::base_copy::{ArchiverFailure, CopyError};
use crate::data_directory::{IdentityError, InUse, NotTheOwner};
use crate::file_error::FileError;
use crate::receipt::ReceiptError;
use crate::server::ServerError;
use crate::ship::wire::RefusalCode;
use crate::ship::{LinkError, NodeError, SendError, ShipError};
use crate::timelines::HistoryFileError;
use crate::wal::{ClusterState, Lsn, SegmentName, TimelineId, Unsound, WalFileName};

/// Why a primary could not be flushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The node is a standby.
    #[error("\"{}\" contains a standby. HINT: run flushPrimary on the primary, {primary}", data_directory.display())]
    Standby {
        /// The data directory.
        data_directory: PathBuf,
        /// The other node.
        primary: String,
    },
    /// The node is a standby, so its server is not kept from being the primary.
    #[error("\"{}\" contains a standby: there is no flush to undo", .0.display())]
    NothingToUndo(PathBuf),
    /// The standby is the primary now.
    #[error(
        "{node} was promoted and is the primary now. This server must not be started as a primary. HINT: run configStandby --rejoin on this node; if that refuses, run configStandby --overwrite on this node and copyToStandby on {node}"
    )]
    Promoted {
        /// The other node.
        node: String,
    },
    /// The DR node is a primary.
    #[error(
        "{node}, the DR node, was promoted and is a primary on a later timeline. HINT: if that was a test, empty local/replication/drnode on this node and on the standby until {node} is a DR node again (configStandby --overwrite on {node}, then copyToDR). If {node} is to remain the primary, this server must not be started as a primary: run configStandby --rejoin on this node"
    )]
    DrNodePromoted {
        /// The DR node.
        node: String,
    },
    /// WAL is not shipped.
    #[error("archiving is not active, because \"{}\" does not exist. HINT: run copyToStandby, which makes a standby and creates it", .0.display())]
    NotActive(PathBuf),
    /// The server does not archive by archiveWALFile.
    #[error(transparent)]
    Archiving(Box<CopyError>),
    /// A file of the data directory can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This process does not run as the owner of the data directory.
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    /// Another command is using the data directory.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A timeline history file can't be read.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The data directory has no cluster whose version is known.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The server can't be queried.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Another node can't be reached, or refuses a request.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The DR node can't be reached before anything was changed.
    #[error(
        "{error}. HINT: {node} is the DR node. To continue without it, specify --without-dr: it gets the WAL later by rsyncDR, which must run on both other nodes"
    )]
    DrNode {
        /// The DR node.
        node: String,
        /// Why.
        error: ShipError,
    },
    /// The DR node can't be reached and may hold the receipt of an earlier flush, which is out of date.
    #[error(
        "{error}. {node} is the DR node and may hold the receipt of an earlier flushPrimary, which must be made void first. HINT: run the command again when {node} is back. To continue without it, if it was certainly not promoted, empty local/replication/drnode on this node, and write {node} into it again when it is back: until then do not promote {node}"
    )]
    EarlierReceipt {
        /// The DR node.
        node: String,
        /// Why.
        error: ShipError,
    },
    /// A file that the server had not archived can't be shipped.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// This node's own receipt can't be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The server still lets sessions in.
    #[error(
        "server still lets sessions in {} s after \"{}\" was changed{}. HINT: see the server's log", limit.as_secs(), file.display(), reason(last.as_ref())
    )]
    NotClosed {
        /// `pg_hba.conf`.
        file: PathBuf,
        /// The time limit.
        limit: Duration,
        /// Why the last attempt to connect failed, if it was for another reason.
        last: Option<ServerError>,
    },
    /// WAL is not archived.
    #[error(
        "no WAL was archived for {} s. {count} files are waiting, the first one is {first}{}. HINT: see the server's log", limit.as_secs(), failed(failure.as_deref())
    )]
    NotArchived {
        /// How many files are waiting.
        count: usize,
        /// The first one.
        first: WalFileName,
        /// The time limit.
        limit: Duration,
        /// Why archive_command failed, if it did.
        failure: Option<Box<ArchiverFailure>>,
    },
    /// The server has stopped by itself.
    #[error("server was stopped by something else. HINT: see its log")]
    Stopped,
    /// The server could not be told to stop.
    #[error("could not stop the server: {0}")]
    Signal(io::Error),
    /// The server does not stop.
    #[error(
        "server has not stopped within {} s and is still shutting down. HINT: see its log; flushPrimary --force stops it without a checkpoint, and then the standby cannot take over all of its WAL", .0.as_secs()
    )]
    NotStopped(Duration),
    /// The last shutdown was not a clean one.
    #[error(
        "cluster in \"{}\" was not shut down cleanly (its state is \"{state}\"), so the end of its WAL is not known. HINT: start the server and run flushPrimary again", data_directory.display()
    )]
    NotShutDown {
        /// The data directory.
        data_directory: PathBuf,
        /// The state in pg_control.
        state: ClusterState,
    },
    /// pg_control is missing or of a newer version.
    #[error("could not find the shutdown checkpoint: the version of the cluster in \"{}\" is not known", .0.display())]
    UnknownVersion(PathBuf),
    /// The last segment is not the one of its name.
    #[error("could not use \"{}\": {error}", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// The problem.
        error: Unsound,
    },
    /// WAL does not end with the shutdown checkpoint.
    #[error("WAL in \"{}\" does not end with the shutdown checkpoint at {checkpoint}, which is in pg_control: {found}", path.display())]
    NoCheckpoint {
        /// The segment's file.
        path: PathBuf,
        /// The position in pg_control.
        checkpoint: Lsn,
        /// What was found.
        found: String,
    },
    /// Another node does not hold the receipt that it has acknowledged.
    #[error("{0} does not hold the receipt that it has acknowledged. HINT: check its archive")]
    NotHeld(String),
    /// A segment is missing on the standby.
    #[error(
        "{node} lacks {missing}, and this node no longer has it. HINT: copy it from the DR node's archive into the archive of {node}"
    )]
    Missing {
        /// The node.
        node: String,
        /// The first missing segment.
        missing: SegmentName,
    },
    /// The server was started while the receipt was delivered.
    #[error(
        "the server was started again. HINT: run flushPrimary again, or flushPrimary --undo to continue with this server as the primary"
    )]
    StartedAgain,
    /// A node was promoted after the flush, as this node's own files show.
    #[error(
        "timeline {timeline} has forked from this node's timeline {own}: another node was promoted, and this server must not be started as a primary. HINT: run configStandby --rejoin. To abandon timeline {timeline} with all that was committed there, make sure that its server never runs again, delete its history from \"{}\", and run flushPrimary --undo --force", archive.display()
    )]
    Forked {
        /// The later timeline.
        timeline: TimelineId,
        /// This node's timeline.
        own: TimelineId,
        /// The archive that has the history of the later timeline.
        archive: PathBuf,
    },
    /// A node could not be asked to forget the receipt.
    #[error(
        "could not void the receipt on {node}: {error}. If {node} was promoted, this server must not be started as a primary. HINT: if {node} was certainly not promoted, run flushPrimary --undo --force"
    )]
    NotVoided {
        /// The node.
        node: String,
        /// Why.
        error: ShipError,
    },
}

impl FlushError {
    /// The failure to connect to a node; one that was promoted says so.
    pub(super) fn of(destination: &Destination, error: ShipError) -> FlushError {
        let node = destination.node().to_owned();
        match error.refusal_code() {
            Some(RefusalCode::PROMOTED) if destination.must_be_complete => {
                FlushError::Promoted { node }
            }
            Some(RefusalCode::PROMOTED) => FlushError::DrNodePromoted { node },
            _ => error.into(),
        }
    }

    /// Whether another node was promoted, as it answers or as this node's own files show.
    fn is_promotion(&self) -> bool {
        matches!(
            self,
            FlushError::Promoted { .. }
                | FlushError::DrNodePromoted { .. }
                | FlushError::Forked { .. }
        )
    }

    /// Whether another node has answered that it does not make the receipt void, because it was promoted.
    pub(super) fn is_refused(&self) -> bool {
        match self {
            FlushError::NotVoided { error, .. } => matches!(
                error.refusal_code(),
                Some(RefusalCode::PROMOTED | RefusalCode::PAST_FORK | RefusalCode::ANOTHER_SENDER)
            ),
            error => error.is_promotion(),
        }
    }
}

impl From<LinkError> for FlushError {
    fn from(error: LinkError) -> FlushError {
        FlushError::Send(error.into())
    }
}

fn reason(last: Option<&ServerError>) -> String {
    last.map(|error| format!(" ({error})")).unwrap_or_default()
}

fn failed(failure: Option<&ArchiverFailure>) -> String {
    failure
        .map(|failure| {
            let ArchiverFailure { file, time, count } = failure;
            format!("; archive_command has failed {count} times, last for {file} at {time}")
        })
        .unwrap_or_default()
}

/// The state in which a flush that failed has left the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerLeft {
    /// It is as before, and lets sessions in.
    Unchanged,
    /// It is shutting down.
    Stopping,
    /// It is stopped.
    Stopped,
}

/// A flush that failed: why, and in which state it has left the server.
#[derive(Debug)]
pub struct FlushFailure {
    /// Why.
    pub error: Box<FlushError>,
    /// The state of the server.
    pub left: ServerLeft,
}

impl fmt::Display for FlushFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        let again = "HINT: correct the problem and run flushPrimary again. To continue with this server as the primary, run flushPrimary --undo";
        match self.left {
            // It says itself what to do.
            _ if error.is_promotion() => write!(f, "{error}"),
            ServerLeft::Unchanged => write!(f, "{error}"),
            ServerLeft::Stopping => write!(f, "{error}. Once it has stopped: {again}"),
            ServerLeft::Stopped => write!(f, "{error}. The server is stopped. {again}"),
        }
    }
}

impl std::error::Error for FlushFailure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ship::wire::Refusal;

    /// `flushPrimary --undo --force` refused with the hint to run it.
    #[test]
    fn only_a_promotion_is_not_overridden_by_force() {
        let refused = |code: RefusalCode| {
            let refusal = Refusal { id: 1, code, retryable: false, message: String::new() };
            let link = LinkError::Refused { node: "db2".into(), refusal };
            FlushError::NotVoided { node: "db2".into(), error: link.into() }.is_refused()
        };
        for code in [RefusalCode::PROMOTED, RefusalCode::PAST_FORK, RefusalCode::ANOTHER_SENDER] {
            assert!(refused(code), "{code:?}");
        }
        for code in [
            RefusalCode::NOT_A_STANDBY,
            RefusalCode::PURPOSE,
            RefusalCode::SELF,
            RefusalCode::ANOTHER_CLUSTER,
        ] {
            assert!(!refused(code), "{code:?}");
        }
        for node in ["db2", "db3"].map(str::to_owned) {
            assert!(FlushError::Promoted { node: node.clone() }.is_refused());
            assert!(FlushError::DrNodePromoted { node }.is_refused());
        }
    }
}
