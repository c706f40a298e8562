//! Work with a time limit or a heartbeat. Every wait of these crates for another thread or a program is here.

mod background;
mod every;
mod heartbeat;
mod program;
mod receive;

pub(crate) use background::Background;
pub use background::within;
pub use every::Every;
pub use heartbeat::{with_heartbeat, with_ticks};
pub use program::output_within;
pub(crate) use receive::each_message;
#[cfg(feature = "ship")]
pub(crate) use receive::{Closed, receive};
