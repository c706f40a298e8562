//! Waiting for a file, deciding, restoring it, pruning: the loop behind every restore_command of ours.
//!
//! The loop itself decides nothing. It looks at the archive and at what the administrator ordered,
//! asks a [`Policy`], which is a function from values to a decision, and carries that out. `pg_standby`
//! and `restoreWALFile` are two policies.

mod archive_source;
mod careful;
mod crossing;
mod histories;
mod hung_archive;
mod loop_over;
mod node_orders;
mod plain_copy;
mod segment_copy;
mod situation;

pub use archive_source::{ArchiveSource, Pruning};
pub use careful::Careful;
pub use hung_archive::{Asking, Noted, unless_hung};
pub use loop_over::{Clock, Outcome, Policy, RealClock, Source, Standing, restore};
pub use node_orders::NodeOrders;
pub use plain_copy::{copy_file, has_holes};
pub use situation::{Decision, Found, GiveUp, Order, Situation};
