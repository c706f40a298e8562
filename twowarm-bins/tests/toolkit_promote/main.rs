//! Failover without a gap in the archive, and rejoin of an old primary without a copy, with real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod archiving;
mod dr_node;
mod failover;
#[allow(dead_code, reason = "shared with the tests of a standby")]
#[path = "../standby/pair.rs"]
mod pair;
mod receipt;
mod refusals;
mod rejoin;
mod switching;
mod third_node;
