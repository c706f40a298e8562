use std::fmt;
use std::time::Duration;

use crate::timelines::Superseded;

/// What the administrator, or the state of the server, orders a waiting restore_command to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Nothing: wait for the file.
    Wait,
    /// A trigger file may be incomplete: look again in a moment.
    Unsettled,
    /// Restore what has arrived, then end recovery.
    EndWhenAbsent,
    /// End recovery now.
    EndNow {
        /// The file was restored before, or the server cannot become consistent without it: it is still
        /// restored if it exists.
        serve_again: bool,
    },
    /// Stop the server, for this reason; or the server has already stopped.
    Stop(String),
}

/// The state of the requested file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It does not exist, and the archive is readable.
    Absent,
    /// It can never exist: a segment from before its timeline began.
    NeverExists,
    /// It does not exist and is unlikely to arrive: a newer timeline forked at or before it.
    Superseded(Superseded),
    /// It does not exist here, and another node's archive is asked for it.
    Fetching,
    /// It is incomplete, and its content so far is not usable.
    Arriving,
    /// It is an incomplete segment, and begins as the requested one.
    Unfinished,
    /// It has its full size, and may still be written to: look again in a moment.
    Settling,
    /// It can be restored, as far as is known before it is copied.
    Ready,
    /// It begins as the requested segment, but its WAL ends before the segment does, for this reason:
    /// it was never completed, was truncated, or is damaged.
    Damaged(String),
    /// A segment that continues a record which cannot be checked, for this reason: an earlier segment is
    /// missing.
    Unchecked(String),
    /// It begins as the requested segment, and is larger than a segment.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
    },
    /// Its content is not that of the requested file, for this reason.
    NotThatFile(String),
    /// It is sound, but this server must not replay it: it belongs to a parent timeline, after the fork.
    Foreign(String),
    /// Whether it exists is not known, for this reason.
    Unreadable(String),
    /// It exists and could not be copied to the target, for this reason.
    NotCopied(String),
}

impl Found {
    /// Whether there is a file of this name that is damaged, incomplete or another file. Another archive may have an
    /// intact one.
    pub(super) fn is_unfit_file(&self) -> bool {
        match self {
            Found::Damaged(_) | Found::NotThatFile(_) | Found::TooLarge { .. } => true,
            // It may never be completed.
            Found::Unfinished | Found::Arriving => true,
            _ => false,
        }
    }
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The order in force.
    pub order: Order,
    /// The state of the file in the archive.
    pub found: Found,
    /// How long this call has been waiting.
    pub waited: Duration,
    /// How many times copying has failed.
    pub failed_copies: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Copy the file to the target.
    Restore {
        /// Even if the segment is damaged or incomplete: the server replays the sound part and ends
        /// recovery there.
        as_it_is: bool,
    },
    /// Look again when something happens.
    Wait,
    /// Answer that there is no such file.
    GiveUp(GiveUp),
    /// Rename the file, for this reason, then answer that there is no such file.
    SetAside(String),
    /// Stop the server without ending its recovery, for this reason.
    Stop(String),
    /// Exit with this code, for cases that only one program has.
    Exit(u8),
}

/// Why the answer is that there is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUp {
    /// A history or `.backup` file that does not exist, or a segment that cannot exist.
    NotThere,
    /// Not yet: in standby mode the server asks again.
    NotYet,
    /// Recovery was ordered to end when nothing more has arrived.
    EndWhenAbsent,
    /// Recovery was ordered to end, and the archive did not answer. It is treated as empty for the rest of
    /// the failover.
    ArchiveUnavailable,
    /// Recovery was ordered to end now.
    EndNow,
    /// The wait exceeded its limit.
    TimeIsUp,
    /// Copying failed too many times.
    CopyFailed,
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GiveUp::NotThere => "it does not exist",
            GiveUp::NotYet => "it has not arrived yet",
            GiveUp::EndWhenAbsent => "it has not arrived, and recovery is to end",
            GiveUp::ArchiveUnavailable => "the archive did not answer, and recovery is to end",
            GiveUp::EndNow => "recovery is to end before it",
            GiveUp::TimeIsUp => "it did not arrive in time",
            GiveUp::CopyFailed => "it could not be copied",
        })
    }
}
