//! The commands of the runbook between real nodes: switchover, failover, rejoin, relay.

mod failover;
mod nodes;
mod rejoin;
mod relay;
mod standstill;

pub use failover::failover;
pub use rejoin::rejoin;
pub use relay::relay;
pub use standstill::standstill;
