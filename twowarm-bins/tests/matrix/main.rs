//! A 2warm installation as a DBA sets it up, on real servers that reach each other through real sshds:
//! configStandby and copyToStandby, load, restarts, each way to fail over, and a third node that follows.
//!
//! They run on the PostgreSQL that the testbed finds; `make test-matrix` runs them on others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod failover;
mod following;
mod mode;
#[path = "../standby/pair.rs"]
#[allow(dead_code, reason = "the tests of the commands share it and use all of it")]
mod pair;
mod times;
