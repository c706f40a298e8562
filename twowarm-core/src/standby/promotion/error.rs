use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Damage, ReceiptState};
use crate::Retryable;
use crate::archive::{ArchiveError, Gap};
use crate::data_directory::{IdentityError, InUse};
use crate::file_error::FileError;
use crate::server::ServerError;
use crate::timelines::{HistoryFileError, NewerTimeline};

/// Why a standby was not promoted, or is not known to be open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromotionError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data directory's own files can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A receipt is being made void, or another command uses the data directory.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The archive can't be read.
    #[error(transparent)]
    ReadArchive(#[from] ArchiveError),
    /// The timeline history files can't be read.
    #[error(transparent)]
    Histories(#[from] HistoryFileError),
    /// The data directory does not hold a standby.
    #[error(
        "\"{}\" does not hold a standby: it has no standby.signal, recovery.signal or recovery.conf, or no pg_control. HINT: it may have been promoted already", .0.display()
    )]
    NotAStandby(PathBuf),
    /// A smart promotion needs the archive, which can't be read.
    #[error(
        "could not read the archive \"{}\": {why}. WAL that was shipped could be lost. HINT: \"triggerStandby fast\" does not need the archive", archive.display()
    )]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// What failed.
        why: String,
    },
    /// The standby could follow a timeline that it has not replayed.
    #[error(
        "timeline {newer}, which forked from this node's timeline {own}, is in the archive but was not replayed. In standby mode the server follows it without a restart, in warm mode after a restart. HINT: promote the server after it has followed timeline {newer}", newer = .0.timeline, own = .0.own
    )]
    NewerTimeline(NewerTimeline),
    /// A segment is missing.
    #[error(
        "{gap}, in \"{}\": recovery would end before {missing}, and the WAL in {found} and later segments would be lost. HINT: copy {missing} into the archive from the primary's pg_wal (pg_xlog before 10) or from the DR node's archive. To promote without it, specify --accept-gap or fast", archive.display(), missing = gap.missing, found = gap.found
    )]
    Gap {
        /// The missing segment, and the next one that is there.
        gap: Gap,
        /// The archive.
        archive: PathBuf,
    },
    /// A segment is damaged.
    #[error(
        "{damage}, in \"{}\": recovery would end in or before {segment}, and the WAL in {found} and later segments would be lost. HINT: replace it by an intact {segment} from the primary's pg_wal (pg_xlog before 10) or from the DR node's archive. To promote without it, specify --accept-gap or fast", archive.display(), segment = damage.segment, found = damage.found
    )]
    Damage {
        /// The damaged segment, and the next one that is there.
        damage: Damage,
        /// The archive.
        archive: PathBuf,
    },
    /// The archive does not have all WAL up to the end of a receipt, which is required.
    #[error("{}. The standby was not triggered. {}", lacking(found.as_ref(), archive), RECEIPT_ADVICE)]
    Receipt {
        /// The archive.
        archive: PathBuf,
        /// What it has of a receipt.
        found: Option<ReceiptState>,
    },
    /// The server stopped before it was open. The trigger remains in force.
    #[error(
        "the server stopped before it was open. The trigger remains in force for its next start. HINT: see the server's log"
    )]
    Stopped,
    /// Recovery has ended, but no write was committed. The trigger is removed.
    #[error(
        "the server was promoted (pg_control says \"in production\") and the trigger is removed, but it could not be confirmed that the server commits: {0}"
    )]
    NotConfirmed(NotQueried),
    /// Recovery has not ended, and the server can't be queried. The trigger remains in force.
    #[error("recovery has not ended yet, and the server could not be queried: {0}")]
    NotQueried(NotQueried),
}

const RECEIPT_ADVICE: &str = "HINT: run flushPrimary on the primary until it succeeds. If the primary is lost, omit --require-receipt: that promotes with the WAL that has arrived, and later transactions are lost";

fn lacking(found: Option<&ReceiptState>, archive: &Path) -> String {
    let archive = archive.display();
    match found {
        Some(ReceiptState::Incomplete { segment, why }) => {
            format!(
                "the WAL of the primary, which flushPrimary has shut down in {segment}, is not complete in \"{archive}\": {why}"
            )
        }
        Some(ReceiptState::Unreadable(why)) => {
            format!("could not read the receipt of flushPrimary in \"{archive}\": {why}")
        }
        Some(ReceiptState::Complete(_)) | None => format!(
            "there is no receipt of flushPrimary for the standby's timeline in \"{archive}\", so it is not known whether all WAL of the primary has arrived"
        ),
    }
}

impl Retryable for PromotionError {
    /// True if the same promotion may succeed later without any change by the user: when the archive can be read,
    /// the server has followed the newer timeline, or it can be queried.
    fn is_retryable(&self) -> bool {
        match self {
            PromotionError::ReadArchive(error) => error.is_retryable(),
            PromotionError::Archive { .. }
            | PromotionError::NewerTimeline(_)
            | PromotionError::Receipt { .. }
            | PromotionError::NotQueried(_) => true,
            _ => false,
        }
    }
}

/// Every attempt to query a server failed for a time.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotQueried {
    /// The time limit.
    pub limit: Duration,
    /// Why the last attempt failed; `None` if a server answered that is in recovery, while the data directory's
    /// is not.
    pub error: Option<ServerError>,
}

impl fmt::Display for NotQueried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.limit.as_secs();
        match &self.error {
            Some(error) => {
                write!(
                    f,
                    "every connection attempt failed for {seconds} s: {error}. HINT: {}",
                    error.advice()
                )
            }
            None => write!(
                f,
                "the server that answers has been in recovery for {seconds} s, so it is not the server of this data directory. HINT: set PGPORT and PGHOST in local/environment.sh to the server's address"
            ),
        }
    }
}
