//! The first half of a switchover: a primary is stopped so that its standby has all of its WAL, and both can prove it.

mod admission;
mod archived;
mod destination;
mod error;
mod flush;
mod last_segment;
mod shutdown;
mod step;
mod undo;

pub use admission::let_sessions_in;
pub use destination::Destination;
pub use error::{FlushError, FlushFailure, ServerLeft};
pub use flush::{FlushPrimary, SaveLogs};
pub use step::FlushStep;
pub use undo::{UndoFlush, Undone};
