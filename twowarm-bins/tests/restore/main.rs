//! restoreWALFile: what it restores, waits for, refuses and removes; called directly and by real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod crossing;
mod endings;
mod hung_archive;
mod live;
mod newer;
mod pruning;
mod requests;
mod standby_mode;
mod support;
mod triggers;
mod waits;
