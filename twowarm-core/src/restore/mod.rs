//! restore_command: waiting for a file in the archive, checking it, and restoring it.
//!
//! [`StandbyRestore`] is all of it for a standby. Below it is [`restore_loop`], which decides nothing
//! itself: it looks at the archive and at the orders in force, asks a [`Policy`], which is a function from
//! values to a decision, and carries that out. `pg_standby` and `restoreWALFile` are two policies.
//!
//! Messages go to [`log`].

mod archive_process;
mod archive_source;
mod crossing;
mod fetching;
mod file_copy;
mod memory;
mod misconfigured;
mod outcome;
mod reminder;
mod request;
mod restore_loop;
mod segment_copy;
mod situation;
#[cfg(feature = "server")]
mod sound_segment;
mod standby_orders;
mod standby_policy;
mod standby_restore;

pub use file_copy::{copy_file, has_holes};
pub use memory::RecoveryMemory;
pub use misconfigured::MisconfiguredStandby;
pub use outcome::{Outcome, restore_command};
pub use request::{RequestError, RestoreRequest};
pub use restore_loop::{Clock, Policy, RealClock, RecoveryOrders, Source, restore_loop};
pub use situation::{Decision, Found, GiveUp, Order, Situation};
#[cfg(feature = "server")]
pub(crate) use sound_segment::ends_recovery;
pub use standby_restore::{RestoreError, StandbyRestore};
