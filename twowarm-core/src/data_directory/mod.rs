//! A cluster's data directory: what its files say of the cluster and of its server.

mod config_file;
mod configuration;
mod identity;
#[cfg(feature = "server")]
mod listening;
mod postmaster;
mod recovery_settings;
mod replayed;

#[cfg(feature = "server")]
pub(crate) use config_file::read_line;
pub use config_file::{ConfigFileError, read_settings, setting_line};
#[cfg(feature = "server")]
pub(crate) use configuration::{each_setting, server_configuration, server_settings};
pub use identity::{
    Identity, IdentityError, control_bytes, control_file, identity, last_place_needed,
    major_version, redo_place,
};
#[cfg(feature = "server")]
pub(crate) use listening::Listening;
pub(crate) use postmaster::process_ticks;
pub use postmaster::{PROMOTE_FILES, Postmaster, request_promotion};
#[cfg(feature = "server")]
pub(crate) use recovery_settings::is_true;
pub use recovery_settings::{RecoveryMode, RecoverySettings, recovery_settings};
pub use replayed::Reached;
