//! PostgreSQL warm standby by file-based log shipping, as a library.
//!
//! A primary archives WAL segments to a standby, the standby replays them as they arrive. This crate
//! holds the model that the `pg_standby` drop-in and the 2warm binaries are made of; without features
//! it opens no socket and talks to no server.

pub mod archive;
#[cfg(all(feature = "server", feature = "ship"))]
pub mod base_copy;
pub mod data_directory;
pub mod durable;
mod file_error;
pub mod identifiers;
pub mod limits;
pub mod node;
pub mod prune;
pub mod reach;
pub mod restore;
pub mod rsync;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "ship")]
pub mod ship;
#[cfg(feature = "server")]
pub mod standby;
#[cfg(feature = "testbed")]
pub mod testbed;
pub mod trigger;
pub mod version;
pub mod wal;
pub mod watch;

pub use file_error::FileError;
