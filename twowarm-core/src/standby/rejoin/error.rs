use std::path::PathBuf;

use crate::Retryable;
use crate::receipt::ReceiptError;
use crate::standby::PrepareError;
use crate::timelines::HistoryFileError;
use crate::version::PgMajor;
use crate::wal::{Lsn, SegmentName, TimelineId};

const COPY: &str = "HINT: this node needs a copy: run configStandby --overwrite here and then copyToStandby on the new primary, which transfers only what differs";

/// Why an old primary was not made a standby. Nothing that the server reads was changed, except after an error of a
/// file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RejoinError {
    /// The data directory or the archive can't be used for a standby.
    #[error(transparent)]
    Prepare(PrepareError),
    /// The node's receipt can't be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The timeline history files can't be read.
    #[error(transparent)]
    Histories(#[from] HistoryFileError),
    /// It is a standby already.
    #[error("\"{}\" holds a standby already: it has {file}. HINT: start its server", path.display())]
    AlreadyStandby {
        /// The data directory.
        path: PathBuf,
        /// The file that makes it one.
        file: &'static str,
    },
    /// flushPrimary has not shut down this primary.
    #[error(
        "there is no receipt \"{}\": flushPrimary did not shut down this node, so the other node may lack some of its WAL. {COPY}", .0.display()
    )]
    NoReceipt(PathBuf),
    /// The data directory is not as flushPrimary left it.
    #[error("this node is not where flushPrimary shut it down (receipt of {end}): {why}. {COPY}")]
    NotAtReceipt {
        /// The end of the receipt.
        end: Lsn,
        /// What differs.
        why: String,
    },
    /// No timeline is known that forked from this node's.
    #[error(
        "no history of a timeline that forked from timeline {timeline} is in \"{}\"{}. HINT: promote the other node with triggerStandby; when it is open, run this command again",
        archive.display(),
        asked.iter().map(|why| format!(", and none could be fetched: {why}")).collect::<String>()
    )]
    NoHistory {
        /// This node's timeline.
        timeline: TimelineId,
        /// This node's archive.
        archive: PathBuf,
        /// Why other nodes could not be asked.
        asked: Option<String>,
    },
    /// The new primary's timeline did not fork at the end of this node's WAL.
    #[error(
        "timeline {timeline} forked from timeline {own} at {fork}, but the WAL of this node ends at {end}: the new primary lacks WAL of this node, or continues another timeline. {COPY}"
    )]
    OtherFork {
        /// The new primary's timeline.
        timeline: TimelineId,
        /// This node's.
        own: TimelineId,
        /// Where it forked.
        fork: String,
        /// The end of this node's WAL.
        end: Lsn,
    },
    /// The newest timeline does not descend from this node's.
    #[error("timeline {timeline} is not a child of this node's timeline {own}. {COPY}")]
    NotAChild {
        /// The newest timeline.
        timeline: TimelineId,
        /// This node's.
        own: TimelineId,
    },
    /// Through 9.2 the fork is proved by the new primary's first segment, which has not arrived.
    #[error(
        "the history of timeline {} tells only the segment in which it forked, through PostgreSQL 9.2, and its first segment {segment} has not arrived{}. HINT: run \"select pg_switch_xlog()\" on the new primary, and run this command again when the segment has arrived",
        segment.timeline,
        asked.iter().map(|why| format!(": {why}")).collect::<String>()
    )]
    NoSegment {
        /// The segment.
        segment: SegmentName,
        /// Why other nodes could not be asked for it.
        asked: Option<String>,
    },
    /// pg_control is of a newer version than this program knows.
    #[error(
        "pg_control in \"{}\" is of a version newer than PostgreSQL {newest}, the newest version known to this program. HINT: update twowarm", .0.display(), newest = PgMajor::NEWEST
    )]
    UnknownVersion(PathBuf),
}

impl<E: Into<PrepareError>> From<E> for RejoinError {
    fn from(error: E) -> RejoinError {
        RejoinError::Prepare(error.into())
    }
}

impl Retryable for RejoinError {
    /// True if the same command may succeed later without any change on this node.
    fn is_retryable(&self) -> bool {
        match self {
            RejoinError::Prepare(PrepareError::Archive(error)) => error.is_retryable(),
            RejoinError::NoHistory { .. } | RejoinError::NoSegment { .. } => true,
            _ => false,
        }
    }
}
