//! archiveWALFile with a DR node: where a file goes while the standby, the DR node or both can't be reached, and that
//! nothing is lost on the way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod faults;
mod kept;
mod refusals;
mod routes;
mod server;
mod thousand;
mod trio;
