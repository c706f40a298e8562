//! Copying files and directories to another node with rsync over ssh.
//!
//! No shell interprets a path: rsync is started directly, and paths are sent in its own protocol
//! (`--secluded-args`).

mod fetch;
mod progress;
mod put;
mod remote;
mod run;

pub use fetch::{fetch, fetch_small};
pub use progress::Progress;
pub use put::{Put, put};
pub use remote::Remote;
pub use run::{Event, Outcome, RsyncError, Transfer};
