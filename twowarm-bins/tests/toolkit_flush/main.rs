//! flushPrimary between real nodes.
#![cfg(feature = "testbed")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod broken_off;
mod pair;
mod refusals;
mod started_again;
mod switchover;
mod undo;
mod whole;
