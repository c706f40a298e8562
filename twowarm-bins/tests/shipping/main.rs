//! archiveWALFile to receiveWALFile through a real sshd: what arrives, and what happens on bad input and failures.
//! A failure is one line on standard error and an exit code, stores nothing under a final name, and the segment
//! arrives once the cause is gone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod arrival;
mod carriers;
mod content;
mod directory;
mod killed_receiver;
mod look_ahead;
mod memory;
mod mounted;
mod newer;
mod no_pgdata;
mod node_id;
mod openssh;
mod pair;
mod reach;
mod rsync;
mod shutdown;
mod ssh;
