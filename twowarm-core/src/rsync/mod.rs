//! Copying directories to another node with rsync over ssh.
//!
//! No shell sees a path: here rsync is run directly, and on the far side paths travel in its own
//! protocol (`--secluded-args`).

mod fetch;
mod progress;
mod remote;
mod run;
mod trial;

pub use fetch::{fetch, fetch_small};
pub use progress::Progress;
pub use remote::Remote;
pub use run::{Event, Outcome, RsyncError, Transfer};
pub use trial::Losses;
