//! A PostgreSQL server and its data directory: asking it, what stands there, how it is made a standby.

mod archive_clusters;
mod backup;
mod copy_marker;
mod data_directory;
mod error;
mod exclusive_backup;
mod failover_settings;
mod inherited_recovery;
mod label_files;
mod lock;
mod owner;
mod places;
mod recovery_config;
mod role;
mod running;
mod session;
mod standby_setup;
mod tuning;
mod version;
mod which_major;

pub use backup::{Backup, FinishedBackup};
pub use copy_marker::{COPY_MARKER, CopyMarker};
pub use data_directory::{CONFIGURATION, DataDirectory, NotATarget, STATE_PREFIX};
pub use error::ServerError;
pub use exclusive_backup::ExclusiveBackup;
pub use failover_settings::lacks_for_failover;
pub use lock::{InUse, lock_directory};
pub use owner::{NotTheOwner, check_owner, write_for_server};
pub use recovery_config::{RecoveryConfig, RecoveryConfigError};
pub use role::{Role, role_of, running_role};
pub use running::RunningServer;
pub use session::{Canceller, Login, Session};
pub use standby_setup::{SetupError, prepare_standby, unlisted_server};
pub use which_major::{UnknownMajor, which_major};
