//! Real nodes for tests, the demo and benches: PostgreSQL servers, sshds and 2warm trees in one
//! temporary directory, all of it gone when the [`Testbed`] is dropped.
//!
//! Nothing here is a stand-in: a server is the `postgres` found on the machine, a far node is reached
//! through a real sshd on the loopback address. What can't be started is an error that names it and
//! what to install; nothing is skipped. Only files of a server that does not exist yet are forged.

mod archiving;
mod bed;
mod call;
mod error;
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
mod tool;
mod version;
mod wait;
mod warm_pair;

pub use bed::Testbed;
pub use call::{Call, Ended};
pub use error::{BedError, finish};
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
pub use wait::{Answer, LIMIT, wait_until};
pub use warm_pair::WarmPair;
