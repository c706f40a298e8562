//! Switchover: a primary is stopped so that its standby has all of its WAL and can prove it, the standby is promoted, and
//! the old primary follows it.

mod admission;
mod archived;
mod destination;
mod earlier_receipt;
mod error;
mod far_promotion;
mod flush;
mod last_segment;
mod shutdown;
mod start;
mod step;
mod switch;
mod switch_error;
mod undo;

pub use destination::Destination;
pub use error::{FlushError, FlushFailure, ServerLeft};
pub use far_promotion::{FarPromotion, NotPromoted};
pub use flush::{FlushPrimary, SaveLogs};
pub use start::{NotStarted, StartServer};
pub use step::FlushStep;
pub use switch::{Switchover, SwitchoverStep};
pub use switch_error::{NowPrimary, SwitchoverError};
pub use undo::{UndoFlush, Undone};
