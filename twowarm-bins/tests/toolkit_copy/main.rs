//! Base copies of a whole installation: primary, standby and DR node, each with a server and an sshd.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod copies;
mod debian;
mod dr;
mod dry_run;
mod failback;
mod interrupted;
mod layouts;
#[path = "../standby/pair.rs"]
#[allow(dead_code, reason = "shared with the tests of the standby")]
mod pair;
mod refusals;
