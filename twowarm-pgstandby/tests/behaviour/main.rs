//! pg_standby: what it waits for, how soon it answers and which files it leaves; called directly and by real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod arrivals;
mod bad_luck;
mod live;
mod support;
mod triggers;
mod verify;
