//! The 2warm directory tree of a node, and the values that the operations of this crate take from its files.

#[cfg(feature = "ship")]
mod archive_values;
#[cfg(all(feature = "server", feature = "ship"))]
mod copy_values;
mod environment;
mod error;
#[cfg(feature = "ship")]
mod fetch_values;
mod find;
mod invocation;
mod pgdata;
mod settings;
mod shell;
#[cfg(feature = "server")]
mod standby_values;
#[cfg(all(feature = "server", feature = "ship"))]
mod switchover_values;
mod tree;
mod values;

pub use environment::{Environment, EnvironmentError};
pub use error::InstallError;
pub use invocation::{Caller, Invocation};
pub use pgdata::PgdataSource;
pub use settings::{
    ArchiveSettings, NodeSettings, RestoreSettings, ServerSettings, Settings, SettingsError,
    Verify, WhenStandbyDown,
};
pub use tree::Install;
