//! A primary, its standby and a DR node, which gets the WAL from the standby by rsyncDR.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod dr;
mod failover;
mod files;
mod nodes;
