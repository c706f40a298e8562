//! The values that the operations on this node's standby take.

use super::{Install, InstallError};
use crate::data_directory::CONFIGURATION;
use crate::standby::{
    ArchivingSwitch, PrepareStandby, Promotion, PromotionMode, RecoverySource, ServerProgram,
};

/// The restore_command of a standby in a 2warm tree, relative to the data directory. Servers before 8.3 pass
/// `%r` on literally, which restoreWALFile understands.
const RESTORE_COMMAND: &str = "exec ../2warm/global/replication/restoreWALFile %f %p %r";

impl Install {
    /// The recovery settings: `2warm/global/recovery.conf`, which is the same on every node, and the mode in
    /// `2warm.toml`.
    #[must_use]
    pub fn recovery_source(&self) -> RecoverySource {
        RecoverySource {
            file: self.global().join("recovery.conf"),
            mode: self.settings.mode,
            restore_command: RESTORE_COMMAND.into(),
        }
    }

    /// What makes this node's data directory ready for a base copy; with `overwrite` also that of a stopped primary.
    ///
    /// # Errors
    /// If no data directory or archive is known.
    pub fn prepare_standby(&self, overwrite: bool) -> Result<PrepareStandby, InstallError> {
        Ok(PrepareStandby {
            data_directory: self.require_pgdata()?.to_owned(),
            archive: self.require_archive()?.to_owned(),
            mark_directory: self.local_replication(),
            recovery: self.recovery_source(),
            configuration: CONFIGURATION.map(|name| self.local().join(name)).into(),
            remove: vec![self.archiving_active_file()],
            program: self.server_program(),
            login: self.login(),
            overwrite,
        })
    }

    pub(super) fn server_program(&self) -> ServerProgram {
        ServerProgram {
            bindir: self.settings.server.bindir.clone(),
            search_path: self.variable("PATH").map(Into::into),
        }
    }

    /// What promotes this node's standby, with waiting and without accepting a gap.
    ///
    /// # Errors
    /// If no data directory or archive is known.
    pub fn promotion(&self, mode: PromotionMode) -> Result<Promotion, InstallError> {
        Ok(Promotion {
            data_directory: self.require_pgdata()?.to_owned(),
            archive: self.require_archive()?.to_owned(),
            mark_directory: self.local_replication(),
            trigger: self.trigger_file()?,
            archiving: ArchivingSwitch {
                file: self.archiving_active_file(),
                has_dr_node: self.dr_node.is_some(),
            },
            login: self.login(),
            mode,
            accept_gap: false,
            require_receipt: false,
            wait: true,
            archive_limit: self.settings.time_limit,
            connect_limit: self.settings.server.connect_limit,
        })
    }
}
