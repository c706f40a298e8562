//! Shipping WAL files to another node: [`Shipper`] sends files or a backlog, [`ArchiveCall`] one file to the standby or
//! else the DR node, [`Receiver`] stores them in the other node's archive, over ssh or any other [`Transport`].
//!
//! `docs/protocol.md` specifies the protocol. The receiver can only add files to its archive. The command
//! that starts it is fixed; names, sizes and versions travel in the stream.

mod archive_call;
pub mod carrier;
mod check;
pub(crate) mod content;
mod error;
mod far_program;
mod fetch;
mod fingerprint;
mod link;
mod local_node;
mod look_ahead;
mod outgoing;
mod rate_limit;
mod receipts;
mod receiver;
mod relay;
mod sender;
mod session;
mod shipper;
mod shutdown_budget;
pub mod ssh;
mod stoppable;
mod supplier;
mod timed;
mod timed_output;
mod transport;
mod wal_file;
pub mod wire;
mod working;

pub use archive_call::{
    ArchiveCall, ArchiveCallError, ArchiveProgress, Backlog, Route, ShipperRoute, Waiting,
};
pub use check::Defect;
#[cfg(feature = "server")]
pub(crate) use check::{Checks, check};
pub use content::BadContent;
pub use error::ShipError;
pub use far_program::{FarProgramError, check_machine, check_program};
pub use fetch::{FetchError, Fetched, Fetcher, Get};
pub use link::{Link, LinkError};
pub use local_node::{LocalNode, NodeError};
pub use look_ahead::{LookAhead, LookAheadProcess};
pub use rate_limit::RateLimit;
pub use receipts::HeldReceipt;
pub use receiver::{Receiver, ServeError, Served, refuse_caller};
pub use relay::{Relay, RelayError, RelayProgress};
pub use sender::{RequestId, SendError, SendOptions, Sender};
pub use shipper::{ShipProgress, Shipper};
pub use shutdown_budget::{OutOfTime, ShutdownBudget};
pub use supplier::{Supplied, Supplier};
pub use timed::TimedInput;
pub use timed_output::TimedOutput;
pub use transport::{ConnectError, Connection, FarCommand, LocalTransport, Transport};
pub use wal_file::WalFile;
#[cfg(feature = "server")]
pub(crate) use working::while_working;
