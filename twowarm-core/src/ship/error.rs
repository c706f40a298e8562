use std::io;
use std::path::PathBuf;

use super::content::BadContent;
use super::wire::RefusalCode;
use super::{LinkError, NodeError, OutOfTime, SendError};
use crate::file_error::FileError;
use crate::retry::Retryable;
use crate::wal::{Lsn, SegmentName, StopReason, WalFileName};

/// Why not all files were shipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// The node can't present itself to another one.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The content of a file does not match its name or cluster.
    #[error("\"{}\" is not shipped: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem.
        error: BadContent,
    },
    /// A segment is damaged, and the policy is not to ship it.
    #[error(
        "\"{}\" is not shipped: it is damaged: WAL cannot be read beyond {at}: {why}. HINT: check this machine's disk and memory. If another node has an intact {name} (in pg_wal of a streaming standby), copy that over this file; else set ship_damaged = true under [archive] in 2warm.toml, so that archiving continues, and make a new base copy (copyToStandby) afterwards",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The segment.
        name: SegmentName,
        /// The end of its readable WAL.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
    /// The other node could not be reached, or refused a file or the whole session.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The server is shutting down and does not wait longer.
    #[error(
        "{name} is not shipped: the server is shutting down, and {node} {why}. The file is kept and shipped after the next start"
    )]
    ShuttingDown {
        /// The first file that was not acknowledged.
        name: WalFileName,
        /// The other node.
        node: String,
        /// Why.
        why: OutOfTime,
    },
    /// The process that ships ahead could not reach the other node within the time limit. Its message.
    #[error("{0}")]
    Unreachable(String),
    /// No thread could be started.
    #[error("could not start a thread: {0}")]
    Thread(io::Error),
}

impl ShipError {
    /// Why the other node refuses, if it does.
    pub(crate) fn refusal_code(&self) -> Option<RefusalCode> {
        match self {
            ShipError::Link(LinkError::Refused { refusal, .. }) => Some(refusal.code),
            _ => None,
        }
    }

    /// Whether the other node's archive belongs to another sender.
    pub(crate) fn is_another_sender(&self) -> bool {
        self.refusal_code() == Some(RefusalCode::ANOTHER_SENDER)
    }
}

impl From<SendError> for ShipError {
    fn from(error: SendError) -> ShipError {
        match error {
            SendError::File(error) => error.into(),
            SendError::Link(error) => error.into(),
        }
    }
}

impl Retryable for ShipError {
    fn is_retryable(&self) -> bool {
        match self {
            ShipError::File(_)
            | ShipError::ShuttingDown { .. }
            | ShipError::Unreachable(_)
            | ShipError::Thread(_) => true,
            ShipError::Link(error) => error.is_retryable(),
            ShipError::Node(_) | ShipError::Content { .. } | ShipError::Damaged { .. } => false,
        }
    }
}
