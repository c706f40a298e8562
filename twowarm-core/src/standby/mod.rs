//! A standby: its recovery settings, making a data directory ready to become one, and promoting it.

mod archive_content;
mod failover_settings;
mod inherited_recovery;
mod prepare_standby;
mod promotion;
mod recovery_config;
mod rejoin;
mod retry_settings;
mod server_version;
mod settings;
mod unarchived_wal;

pub use archive_content::ArchiveContent;
pub(crate) use failover_settings::lacks_for_failover;
pub use prepare_standby::{PrepareError, PrepareStandby, PrepareStep};
pub use promotion::{
    Archiving, ArchivingSwitch, Damage, NotQueried, Promoted, Promotion, PromotionError,
    PromotionMode, PromotionStep, ReceiptState, WaitingFor,
};
pub use recovery_config::{RecoveryConfig, RecoveryConfigError, RecoverySource};
pub use rejoin::{Rejoin, RejoinError, RejoinStep};
pub use server_version::{ServerProgram, ServerVersionError};
