use std::time::Duration;

use crate::wal::{Lsn, TimelineId};

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
    /// It is not there, and will hardly come: a newer timeline has left this one at or before it.
    Superseded(TimelineId),
    /// It is there and not whole yet.
    Arriving,
    /// It has its full size, and somebody may still be writing it: look again in a moment.
    Settling,
    /// It can be handed over, as far as a look tells.
    Ready,
    /// A segment whose WAL stops in the middle, at this position, for this reason.
    EndsEarly(Lsn, String),
    /// A segment into which a record crosses that can't be checked, for this reason: an earlier segment
    /// is missing.
    Unchecked(String),
    /// A segment larger than segments are.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// What stands under the name is not that file, or damaged.
    Corrupt(String),
    /// Sound, but not what this server may replay: of a parent timeline, past the fork.
    Foreign(String),
    /// Whether it is there can't be told.
    Unreadable(String),
    /// It is there and could not be copied to the server.
    NotCopied(String),
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
        /// Also a segment whose WAL stops in the middle: after it the server finds nothing more.
        even_if_it_ends_early: bool,
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
    /// Recovery was told to end when nothing more is there.
    EndWhenAbsent,
    /// Recovery was told to end now.
    EndNow,
    /// The time that was given is over.
    TimeIsUp,
    /// Copying failed too often.
    CopyFailed,
}
