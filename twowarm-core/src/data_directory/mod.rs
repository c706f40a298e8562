//! A cluster's data directory: what its files say of the cluster and of its server, and what may be done to it.

mod config_file;
mod configuration;
mod contents;
mod copy_marker;
mod identity;
#[cfg(feature = "server")]
mod listening;
mod pid_file;
mod postmaster;
mod process;
#[cfg(feature = "server")]
mod program;
mod recovery_settings;
mod replayed;
mod role;
mod server_user;
#[cfg(feature = "server")]
mod tablespaces;

pub use crate::lock::{InUse, lock_directory};
#[cfg(feature = "server")]
pub(crate) use config_file::read_line;
pub use config_file::{ConfigFileError, read_settings, setting_line};
#[cfg(feature = "server")]
pub(crate) use configuration::{each_setting, server_configuration, server_settings};
pub use contents::{CONFIGURATION, DirectoryContents, NotATarget, STATE_PREFIX};
pub use copy_marker::{COPY_MARKER, CopyMarker};
pub use identity::{Identity, IdentityError, control_bytes, control_file, identity, major_version};
pub(crate) use identity::{last_place_needed, redo_place};
#[cfg(feature = "server")]
pub(crate) use listening::Listening;
#[cfg(feature = "server")]
pub(crate) use pid_file::wait_for_orphans;
pub use pid_file::{PidFile, has_orphans, running_server};
pub use postmaster::Postmaster;
#[cfg(feature = "ship")]
pub(crate) use postmaster::promotion_file;
pub(crate) use postmaster::{PROMOTE_FILES, request_promotion};
pub(crate) use process::process_ticks;
#[cfg(feature = "server")]
pub(crate) use process::works_in;
#[cfg(feature = "server")]
pub(crate) use program::missing_program;
#[cfg(feature = "server")]
pub(crate) use recovery_settings::is_true;
pub use recovery_settings::{RecoveryMode, RecoverySettings, recovery_settings};
pub use replayed::Reached;
pub use role::{Role, role_of};
pub use server_user::{NotTheOwner, check_owner, write_for_server};
#[cfg(all(feature = "server", feature = "ship"))]
pub(crate) use tablespaces::map_lines;
#[cfg(feature = "server")]
pub(crate) use tablespaces::own_tablespaces;
#[cfg(all(test, feature = "server", feature = "ship"))]
pub(crate) use tablespaces::paths_in_map;

/// The file in a node's `local/replication` that contains the data directory that its standby used last.
#[cfg(any(feature = "tree", feature = "ship"))]
pub(crate) const REMEMBERED: &str = "data_directory";
