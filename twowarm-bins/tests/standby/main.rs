//! Making and promoting a standby, on real servers with a real sshd between them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod config;
mod copy;
mod distrib;
mod environment;
mod gap;
mod hung;
mod interrupted;
mod losses;
mod newer;
#[allow(dead_code, reason = "shared with the toolkit's tests")]
mod pair;
mod reach;
mod refusals;
mod tablespaces;
mod trigger;
