//! The 2warm directory tree of a node, and the facts about the node that it holds.

mod environment;
mod error;
mod invocation;
mod node_id;
mod node_name;
mod pgdata;
mod random_id;
mod shell;
mod tree;

pub use environment::{Environment, EnvironmentError};
pub use error::InstallError;
pub use invocation::{Caller, Invocation};
pub use node_id::{MachineId, NodeId, NotAnId};
pub use node_name::{NodeName, NotANodeName};
pub use pgdata::PgdataSource;
pub(crate) use random_id::random_id;
pub use tree::Install;
