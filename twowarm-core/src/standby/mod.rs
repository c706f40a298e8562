//! Making a data directory a standby's: its recovery settings and everything else that a base copy needs there.

mod archive_clusters;
mod failover_settings;
mod inherited_recovery;
mod preparation;
mod recovery_config;
mod tuning;
mod which_major;

pub use failover_settings::lacks_for_failover;
pub use preparation::{SetupError, prepare_standby, unlisted_server};
pub use recovery_config::{RecoveryConfig, RecoveryConfigError};
pub use which_major::{UnknownMajor, which_major};
