//! The exit codes of every command here, in one table.
//!
//! | code | who | meaning |
//! | --- | --- | --- |
//! | 0 | all | done; for archiveWALFile: the file is durable on the other node, or archiving is off |
//! | 1 | all but restoreWALFile | refused or failed, as in 2warm's scripts; the message says what to do, and calling again is safe |
//! | 1 | restoreWALFile | there is no such file, and that answer is wanted: recovery may end; in standby mode: not yet |
//! | 2 | all but restoreWALFile | bad arguments |
//! | 3 | all but restoreWALFile | a bug of ours (a panic) |
//! | 200 | restoreWALFile | everything else: the server stops instead of ending recovery |

/// Done.
pub const DONE: u8 = 0;
/// Refused or failed; calling again is safe.
pub const FAILED: u8 = 1;
/// restoreWALFile's "there is no such file": PostgreSQL reads every code from 1 to 125 so.
pub const ABSENT: u8 = 1;
/// Bad arguments.
pub const BAD_ARGUMENTS: u8 = 2;
/// A panic.
pub const BUG: u8 = 3;
/// What a server in archive recovery takes as a reason to stop, never as the end of the WAL. It is
/// not 143, which PostgreSQL 10.7 and later read as a SIGTERM that somebody else sent.
pub const STOP_SERVER: u8 = 200;
