//! Names and ids of nodes and of machines.

mod node_id;
mod node_name;

pub(crate) use node_id::random_id;
pub use node_id::{MachineId, NodeId, NotAnId};
pub use node_name::{NodeName, NotANodeName};
