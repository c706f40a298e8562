//! A node's 2warm directory tree, and the values that its files give to the operations of this crate.

#[cfg(all(feature = "server", feature = "ship"))]
mod copy_values;
mod environment;
mod error;
mod invocation;
mod pgdata;
mod settings;
mod shell;
#[cfg(feature = "server")]
mod standby_values;
mod tree;
mod values;

pub use environment::{Environment, EnvironmentError};
pub use error::InstallError;
pub use invocation::{Caller, Invocation};
pub use pgdata::PgdataSource;
pub use settings::{
    ArchiveSettings, NodeSettings, RestoreSettings, ServerSettings, Settings, SettingsError,
};
pub use tree::Install;
