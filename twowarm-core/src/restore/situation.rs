use std::time::Duration;

use crate::wal::TimelineId;

/// What the administrator, or the server's state, orders a waiting restore_command to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Nothing: wait for the file.
    Wait,
    /// A trigger file may be in the making: look again in a moment.
    Unsettled,
    /// Replay what has arrived, then end recovery.
    EndWhenAbsent,
    /// End recovery now.
    EndNow {
        /// The file was restored before, or the server can't get consistent without it, so that it is
        /// still served if it is there.
        serve_again: bool,
    },
    /// Nobody waits for the answer any more, for this reason.
    NobodyWaits(String),
}

/// What one look into the archive shows of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is not there, and the archive is readable.
    Absent,
    /// It is not there and can never be: a segment from before its timeline began.
    NeverExists,
    /// It is not there and is unlikely to come: a newer timeline forked from this one at or before it.
    Superseded(Superseded),
    /// It is there and not complete yet; what is there tells nothing.
    Arriving,
    /// A segment that is not complete yet, and begins as that segment.
    Unfinished,
    /// It has its full size, and somebody may still be writing it: look again in a moment.
    Settling,
    /// It can be handed over, as far as a look tells.
    Ready,
    /// It begins as that segment, and its WAL ends before the segment does, for this reason: it was
    /// never finished, was cut off, or is damaged.
    Damaged(String),
    /// A segment that begins as it should and is larger than segments are.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
    },
    /// The file under the name is not the file of that name, by its own content.
    NotThatFile(String),
    /// Sound, but not what this server may replay: of a parent timeline, past the fork.
    Foreign(String),
    /// Whether it is there can't be told.
    Unreadable(String),
    /// It is there and could not be copied to the server.
    NotCopied(String),
}

/// A newer timeline that forked from a segment's own at or before that segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    /// The newer timeline.
    pub timeline: TimelineId,
    /// Whether the server can follow it.
    pub following: Following,
}

/// Whether a standby's server can follow a newer timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Following {
    /// It has not replayed WAL from after the fork. In standby mode it follows by itself, in warm mode
    /// after a restart.
    Possible,
    /// It has replayed past the fork, and a shutdown writes that to disk: a restart would fail with
    /// "requested timeline does not contain minimum recovery point". It needs a new base copy.
    BaseCopy,
}

/// All that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// What is ordered.
    pub order: Order,
    /// What is found.
    pub found: Found,
    /// How long this call has waited.
    pub waited: Duration,
    /// How often copying has failed.
    pub failed_copies: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Hand the file over.
    Restore {
        /// Also a damaged or unfinished segment: the server replays what is sound and stops by itself.
        as_it_is: bool,
    },
    /// Look again when something happens.
    Wait,
    /// Answer that there is no such file.
    GiveUp(GiveUp),
    /// Move what stands under the name out of the way, then answer that there is no such file.
    SetAside(String),
    /// End in a way that stops the server and never ends its recovery.
    Stop(String),
    /// End with this exit code, for what only one program knows.
    Exit(u8),
}

/// Why the answer is that there is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiveUp {
    /// A history or .backup file that exists nowhere, or a segment that can't exist.
    NotThere,
    /// Not yet: in standby mode the server asks again.
    NotYet,
    /// Recovery was told to end when nothing more is there.
    EndWhenAbsent,
    /// The same, and the archive could not be asked: it counts as absent for the rest of the failover.
    ArchiveUnavailable,
    /// Recovery was told to end now.
    EndNow,
    /// The time that was given is over.
    TimeIsUp,
    /// Copying failed too often.
    CopyFailed,
}
