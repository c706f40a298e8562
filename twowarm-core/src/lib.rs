//! PostgreSQL warm standby by file-based log shipping, as a library.
//!
//! A primary archives WAL segments to a standby, and the standby replays them as they arrive. This crate contains
//! the operations of the `pg_standby` replacement and of the 2warm commands. Without features it depends on four
//! small crates, opens no sockets and does not connect to servers.
//!
//! | feature | adds |
//! | --- | --- |
//! | `tree` | [`node`]: the 2warm directory tree with its settings |
//! | `ship` | [`ship`]: sending and receiving WAL files over ssh |
//! | `server` | [`server`]: base backups and promotion over SQL |
//! | `testbed` | [`testbed`]: PostgreSQL servers and sshd for tests |

pub mod archive;
#[cfg(all(feature = "server", feature = "ship"))]
pub mod base_copy;
mod child_task;
pub mod data_directory;
mod durable;
mod file_error;
pub mod identifiers;
pub mod limits;
mod lock;
#[cfg(feature = "tree")]
pub mod node;
pub mod prune;
pub mod reach;
pub mod receipt;
pub mod restore;
mod retry;
pub mod rsync;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "ship")]
pub mod ship;
#[cfg(feature = "server")]
pub mod standby;
#[cfg(all(feature = "server", feature = "ship"))]
pub mod switchover;
#[cfg(feature = "testbed")]
pub mod testbed;
pub mod timelines;
pub mod trigger;
pub mod verify;
pub mod version;
pub mod wal;
pub mod watch;

pub use file_error::FileError;
pub use retry::Retryable;
