//! archiveWALFile to receiveWALFile through a real sshd: what arrives, and every bad input and bad
//! luck on the way. Each of these is one line on stderr, an exit code, and nothing under a final name;
//! and the segment arrives when the cause is gone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod arrival;
mod content;
mod directory;
mod newer;
mod no_pgdata;
mod node_id;
mod pair;
mod reach;
mod shutdown;
mod ssh;
