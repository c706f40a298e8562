//! The values that a base copy takes, from a node's 2warm tree.

use std::time::Duration;

use super::{Install, InstallError};
use crate::base_copy::{BaseCopy, CopyTarget, TargetRole};
use crate::identifiers::{NodeId, NodeName};
use crate::ship::LocalNode;

/// A wait for WAL files ends if none arrives for this many time limits, and not before a minute: a server
/// repeats a failed archive_command after a minute.
const WAL_TIME_LIMITS: u32 = 10;

impl Install {
    /// A base copy of this node's server on the standby or the DR node, or a dry run of it, for which no id of the node is
    /// created.
    ///
    /// # Errors
    /// If that node, the data directory or the archive is not known, or the node's id can't be read or
    /// created.
    pub fn base_copy(&self, role: TargetRole, dry_run: bool) -> Result<BaseCopy, InstallError> {
        let node = match role {
            TargetRole::Standby => self.require_other_node()?,
            TargetRole::DrNode => self.require_dr_node()?,
        };
        let local_node = match self.existing_node_id()? {
            None if dry_run => LocalNode {
                data_directory: self.require_pgdata()?.to_owned(),
                node_id: NodeId::random()?,
                label: self.label(),
            },
            _ => self.local_node()?,
        };
        Ok(BaseCopy {
            local_node,
            login: self.login(),
            archive: self.require_archive()?.to_owned(),
            archiving_active: self.archiving_active_file(),
            unreachable_nodes: self.unreachable_nodes_file(),
            saved_configuration: self.local().join("postgresql.conf"),
            reach: self.reach(node),
            role,
            rate_limit: self.copy_rate_limit(node),
            dry_run,
            tablespaces: self.section(node).map(|own| own.tablespaces.clone()).unwrap_or_default(),
            wal_time_limit: wal_time_limit(self.settings.time_limit),
        })
    }

    /// Half of the node's `rate_limit`: the other half remains for WAL, which comes first.
    fn copy_rate_limit(&self, node: &NodeName) -> Option<u64> {
        let limit = self.section(node)?.rate_limit.filter(|&limit| limit > 0)?;
        Some((limit / 2).max(1))
    }

    /// This node as the target of a base copy.
    ///
    /// # Errors
    /// If the data directory or the archive is not known, or the node's id can't be read.
    pub fn copy_target(&self) -> Result<CopyTarget, InstallError> {
        Ok(CopyTarget {
            data_directory: self.require_pgdata()?.to_owned(),
            archive: self.require_archive()?.to_owned(),
            local_replication: self.local_replication(),
            local: self.local(),
            node_id: self.existing_node_id()?,
            login: self.login(),
            recovery: self.recovery_source(),
        })
    }
}

/// How long archiving may make no progress.
pub(super) fn wal_time_limit(time_limit: Duration) -> Duration {
    (time_limit * WAL_TIME_LIMITS).max(Duration::from_secs(60))
}
