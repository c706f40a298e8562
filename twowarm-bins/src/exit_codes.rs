//! The exit codes of all commands, in one table.
//!
//! | code | command | meaning |
//! | --- | --- | --- |
//! | 0 | all | success; archiveWALFile: the file is on disk on the other node, or archiving is off |
//! | 1 | all but restoreWALFile and verifyArchive | the command refused or failed; the message says what to do, and it is safe to run it again |
//! | 1 | restoreWALFile | the file does not exist and recovery may end; in standby mode: the file has not arrived yet |
//! | 1 | verifyArchive | something is wrong in the archive |
//! | 2 | all but restoreWALFile | invalid arguments; verifyArchive: also if the archive can't be read |
//! | 3 | all but restoreWALFile | internal error (a panic) |
//! | 200 | restoreWALFile | any failure: the server stops instead of ending recovery |

/// Success.
pub const DONE: u8 = 0;
/// The command refused or failed; it is safe to run it again.
pub const FAILED: u8 = 1;
/// restoreWALFile: the file does not exist. PostgreSQL takes every code from 1 to 125 for this answer.
pub const ABSENT: u8 = 1;
/// verifyArchive: something is wrong in the archive.
pub const FINDINGS: u8 = 1;
/// verifyArchive: the archive can't be read.
pub const NOT_VERIFIED: u8 = 2;
/// Invalid arguments.
pub const BAD_ARGUMENTS: u8 = 2;
/// Internal error (a panic).
pub const BUG: u8 = 3;
/// Makes a server in archive recovery stop instead of ending recovery. Not 143, which PostgreSQL takes for a
/// SIGTERM to the restore_command (10.7 and later).
pub const STOP_SERVER: u8 = 200;

/// How a command's failures become exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitPolicy {
    /// As 2warm's scripts: one code for each kind of failure.
    Scripts,
    /// 1 is the answer that something is wrong, so a failure is 2.
    Check,
    /// One code above 125 for all failures: a server in recovery takes 1 to 125 for the end of the WAL.
    StopServer,
}

impl ExitPolicy {
    /// The exit code of a failure that is [`FAILED`], [`BAD_ARGUMENTS`] or [`BUG`].
    pub(crate) fn code(self, failure: u8) -> u8 {
        match self {
            ExitPolicy::Check if failure == FAILED => NOT_VERIFIED,
            ExitPolicy::Scripts | ExitPolicy::Check => failure,
            ExitPolicy::StopServer => STOP_SERVER,
        }
    }

    /// The exit codes of failures and their meanings, for `--help` and the man page.
    pub(crate) fn failures(self) -> &'static [(u8, &'static str)] {
        match self {
            ExitPolicy::Scripts => &[
                (
                    FAILED,
                    "Refused or failed. The message says why; it is safe to run the command again.",
                ),
                (BAD_ARGUMENTS, "Invalid arguments."),
                (BUG, "Internal error."),
            ],
            ExitPolicy::Check => &[
                (NOT_VERIFIED, "Invalid arguments, or the archive could not be read."),
                (BUG, "Internal error."),
            ],
            ExitPolicy::StopServer => {
                &[(STOP_SERVER, "Any failure. The server stops instead of ending recovery.")]
            }
        }
    }
}
