//! What the tests of restoreWALFile share: WAL that a real server wrote, and scratch data directories
//! with an archive from which the real binary restores it.

mod call;
mod cluster;
mod scratch;

pub use call::{Call, Ended};
pub use cluster::{Cluster, cluster};
pub use scratch::Scratch;

use std::time::Duration;

/// What should happen soon has not happened.
pub const LIMIT: Duration = Duration::from_secs(60);
