use std::fmt;
use std::path::PathBuf;

use super::{FlushError, FlushFailure, NotPromoted, NotStarted};
use crate::standby::RejoinError;

/// Which node is the primary after a switchover that was not completed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NowPrimary {
    /// This node, and its server is running.
    ThisRunning,
    /// This node, whose server must be started.
    ThisStopped,
    /// The other node.
    Other(String),
    /// This node, whose server is stopped: the other node was not triggered, but the receipt could not be made void.
    NotTriggered(String),
    /// Not known: this node's server is stopped, and the other node was perhaps promoted.
    Unknown(String),
}

impl fmt::Display for NowPrimary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NowPrimary::ThisRunning => f.write_str("This node is still the primary"),
            NowPrimary::ThisStopped => {
                f.write_str("This node is still the primary. HINT: start its server")
            }
            NowPrimary::Other(node) => write!(
                f,
                "{node} is the primary now. HINT: run configStandby --rejoin on this node, and start its server"
            ),
            NowPrimary::NotTriggered(node) => write!(
                f,
                "The server of this node is stopped, and {node} was not triggered. HINT: correct the problem and run switchover again, which continues; or run flushPrimary --undo, and this node remains the primary"
            ),
            NowPrimary::Unknown(node) => write!(
                f,
                "The server of this node is stopped. HINT: run triggerStandby on {node}, which completes a promotion; when it is open, run configStandby --rejoin on this node. If {node} is certainly still a standby and is to remain one, run flushPrimary --undo on this node instead"
            ),
        }
    }
}

/// Why a switchover was not completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchoverError {
    /// The node is a standby.
    #[error("\"{}\" contains a standby. HINT: run switchover on the primary, {primary}", data_directory.display())]
    Standby {
        /// The data directory.
        data_directory: PathBuf,
        /// The other node.
        primary: String,
    },
    /// Refused before anything was changed.
    #[error("{0}. Nothing was changed")]
    NotReady(Box<FlushError>),
    /// triggerStandby can't be started on the other node. Nothing was changed.
    #[error("{0}. Nothing was changed")]
    NoTrigger(Box<NotPromoted>),
    /// This node could not become a standby, since it cannot receive WAL. Nothing was changed.
    #[error("{0}. Nothing was changed")]
    NoArchive(Box<RejoinError>),
    /// The primary could not be flushed.
    #[error("{} {now}", sentence(failure))]
    Flush {
        /// Why.
        failure: FlushFailure,
        /// Which node is the primary.
        now: NowPrimary,
    },
    /// The standby was not promoted.
    #[error("{}. {now}", error)]
    Promotion {
        /// Why.
        error: Box<NotPromoted>,
        /// Which node is the primary.
        now: NowPrimary,
    },
    /// The old primary was not made a standby.
    #[error("{error}. {now}")]
    Rejoin {
        /// Why.
        error: Box<RejoinError>,
        /// The other node.
        now: NowPrimary,
    },
    /// All is done, but this node's server could not be started.
    #[error("{node} is the primary now, and this node is a standby: {error}")]
    Start {
        /// The other node.
        node: String,
        /// Why.
        error: NotStarted,
    },
}

/// Without the advice for a flush on its own.
fn sentence(failure: &FlushFailure) -> String {
    format!("{}.", failure.error)
}
