//! A cluster's data directory: what its files say of the cluster and of its server.

mod identity;
mod postmaster;
mod replayed;

pub use identity::{IdentityError, consistency_place, control_bytes, control_file, major_version};
pub use postmaster::Postmaster;
pub use replayed::Reached;
