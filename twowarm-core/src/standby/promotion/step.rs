use std::io;
use std::time::Duration;

use super::{Archiving, Damage, ReceiptState};
use crate::archive::Gap;
use crate::server::ServerError;
use crate::wal::{SegmentName, WalFileName};

/// What [`Promotion::run`](super::Promotion::run) does or finds.
#[derive(Debug)]
#[non_exhaustive]
pub enum PromotionStep<'a> {
    /// A segment that only the server's own WAL directory had is in the archive now; after the promotion also the
    /// history of the new timeline.
    Kept(WalFileName),
    /// This segment of the server's own WAL directory and later ones could not be put into the archive.
    NotKept {
        /// The first of them.
        segment: SegmentName,
        /// The reason.
        why: &'a str,
    },
    /// The archive of this node is asked for WAL files that the own archive lacks.
    Asking(&'a str),
    /// A file was fetched into the archive.
    Fetched(WalFileName),
    /// Another node's archive could not be asked, or a file that it has could not be fetched, for this reason.
    NotFetched(&'a str),
    /// The archive did not answer within the time limit of a smart promotion. So it is not known whether it
    /// contains a newer timeline or a gap.
    ArchiveTimedOut,
    /// A segment is missing, and the WAL after it will be lost.
    Gap(Gap),
    /// A segment is damaged, and the WAL after it will be lost.
    Damage(&'a Damage),
    /// The archive holds so much WAL that is not replayed yet that this segment and later ones could not be checked in
    /// time.
    NotChecked(SegmentName),
    /// The archive has a receipt of flushPrimary for the timeline that the standby replays.
    Receipt(&'a ReceiptState),
    /// The archive has no complete receipt, so transactions of the primary may be lost: those after its last segment.
    LastSegment {
        /// The last segment of the standby's history in the archive.
        segment: SegmentName,
        /// How long ago the primary finished it.
        age: Duration,
    },
    /// The server is open, and there was no complete receipt: later transactions than this one are lost.
    LastTransaction {
        /// When the last transaction that was replayed was committed, as the server writes it.
        committed: &'a str,
        /// How long ago that is.
        age: Duration,
    },
    /// Whether the new primary will ship its WAL.
    Archiving(Archiving),
    /// The trigger is written.
    Triggered {
        /// Whether a server is running that will be promoted.
        is_running: bool,
    },
    /// The server streams, so it does not see the trigger file, and it could not be asked to promote.
    NotRequested(io::Error),
    /// Sent every 10 seconds during a wait.
    Waiting(WaitingFor<'a>),
    /// A file was set aside in the archive during recovery: what comes after the damage is not replayed.
    SetAside(&'a str),
}

/// What a promotion waits for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum WaitingFor<'a> {
    /// The archive to answer.
    Archive,
    /// The server to answer a query.
    Server,
    /// A connection to the server; the last attempt failed.
    Connection(&'a ServerError),
    /// The end of recovery.
    Recovery,
    /// The end of recovery, while the server replays.
    Replay {
        /// The segment that is being replayed.
        segment: SegmentName,
        /// How many segments in the archive follow it, if that is known.
        left: Option<u64>,
    },
}
