//! Shipping WAL files to another node: the protocol, its two ends, and how the bytes get there.
//!
//! `docs/protocol.md` writes the protocol down. The far end adds to its archive and can do nothing
//! else; the command that starts it is fixed, and everything it is told travels in the stream.

pub mod content;
mod link;
mod local_node;
pub mod receiver;
mod sender;
pub mod ssh;
mod stoppable;
mod timed;
mod transport;
pub mod wire;
mod working;

pub use link::{Link, LinkError};
pub use local_node::{LocalNode, NodeError};
pub use sender::{RequestId, SendError, Sender};
pub use stoppable::Stoppable;
pub use timed::TimedInput;
pub use transport::{ConnectError, Connection, FarCommand, LocalTransport, Transport};
#[cfg(feature = "server")]
pub(crate) use working::while_working;
