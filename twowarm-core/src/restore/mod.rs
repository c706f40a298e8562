//! Waiting for a file, deciding, restoring it, pruning: the loop behind every restore_command of ours.
//!
//! The loop itself decides nothing. It looks at the archive and at what the administrator ordered,
//! asks a [`Policy`], which is a function from values to a decision, and carries that out. `pg_standby`
//! and `restoreWALFile` are two policies.

mod archive_source;
mod careful;
mod child;
mod crossing;
mod histories;
mod loop_over;
mod memory;
mod node_orders;
mod plain_copy;
mod pruning;
mod segment_copy;
mod situation;
mod standby_restore;

pub use archive_source::ArchiveSource;
pub use careful::{Careful, Serving};
pub use loop_over::{Clock, Outcome, Policy, RealClock, Source, Standing, restore};
pub use memory::RecoveryMemory;
pub use node_orders::NodeOrders;
pub use plain_copy::{copy_file, has_holes};
pub use pruning::Pruning;
pub use situation::{Decision, Following, Found, GiveUp, Order, Situation, Superseded};
pub use standby_restore::{ChildError, StandbyRestore};
