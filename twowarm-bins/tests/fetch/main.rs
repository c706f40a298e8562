//! restoreWALFile fetches from the DR node's archive, through a real sshd and sendWALFile, what its own archive lacks:
//! called directly, and by real servers whose primary shipped to the DR node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod failover;
mod failures;
mod nodes;
mod requests;
mod servers;
