//! Real nodes for tests, the demo and benches: PostgreSQL servers, sshds and 2warm trees in a temporary directory,
//! which is removed when the [`Testbed`] is dropped.
//!
//! A server is the `postgres` installed on the machine, and another node is reached through a real sshd on the
//! loopback address. A program that can't be started is an error that says what to install; nothing is skipped.
//! Only [`newer_control`] and [`newer_segment`] make up files, of a server version that does not exist yet.
//!
//! # Errors
//! All functions that can fail return a [`BedError`], a text for the person who reads the failed test.

mod archiving;
mod bed;
mod call;
mod error;
mod fault_proxy;
mod janitor;
mod listing;
mod newer;
mod node;
mod node_files;
mod pg_install;
mod port;
mod processes;
mod run_as;
mod server;
mod ssh_key;
mod sshd;
mod stalling;
mod store;
mod tool;
mod version;
mod wait;
mod warm_pair;

pub use bed::Testbed;
pub use call::{Call, Ended};
pub use error::{BedError, finish};
pub use fault_proxy::{Direction, Fault, FaultProxy};
pub use listing::names_in;
pub use newer::{NEWER_MAJOR, newer_control, newer_segment};
pub use node::{COMMANDS, Node};
pub use pg_install::PgInstall;
pub use processes::Process;
pub use run_as::RunAs;
pub use server::StopMode;
pub use ssh_key::SshKey;
pub use sshd::Sshd;
pub use stalling::StallingListener;
pub use tool::example;
pub use wait::{Answer, LIMIT, wait_until};
pub use warm_pair::WarmPair;
