use std::path::{Path, PathBuf};

use super::wire::{Hello, Purpose};
use crate::archive::Binding;
use crate::data_directory::{IdentityError, identity, major_version};
use crate::identifiers::{MachineId, NodeId};
use crate::version::PgMajor;

/// Why a node can't present itself to another one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A file of the data directory can't be read or parsed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The data directory has no pg_control.
    #[error("\"{}\" does not contain a database cluster (no global/pg_control). HINT: correct PGDATA in 2warm/local/environment.sh", .0.display())]
    NoCluster(PathBuf),
    /// The cluster is newer than all known versions, and its version file contains none.
    #[error("\"{}\" does not contain a PostgreSQL version", .0.display())]
    NoVersion(PathBuf),
    /// The cluster is newer than all known versions, and it has no segment from which to read their size.
    #[error("could not determine the segment size of the cluster in \"{}\": it is newer than PostgreSQL {newest}, the newest version known to this program, and has no WAL segment. HINT: update twowarm", .0.display(), newest = PgMajor::NEWEST)]
    NoSegmentSize(PathBuf),
}

/// The node on this side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    /// Its data directory, which must hold a cluster.
    pub data_directory: PathBuf,
    /// Its id, to which the other node's archive is bound.
    pub node_id: NodeId,
    /// Its name in messages.
    pub label: String,
}

impl LocalNode {
    /// The message with which it presents itself to the other node.
    ///
    /// # Errors
    /// If its data directory has no cluster, or one whose version or segment size can't be determined.
    pub fn hello(&self, purpose: Purpose) -> Result<Hello, NodeError> {
        let pgdata = &self.data_directory;
        let cluster = identity(pgdata)?.ok_or_else(|| NodeError::NoCluster(pgdata.clone()))?;
        let major = match major_version(pgdata)? {
            Some(major) => major,
            None => cluster.major.ok_or_else(|| NodeError::NoVersion(pgdata.join("PG_VERSION")))?,
        };
        let segment_size = cluster.segment_size;
        Ok(Hello {
            purpose,
            system_identifier: cluster.system_identifier,
            segment_size: segment_size.ok_or_else(|| NodeError::NoSegmentSize(pgdata.clone()))?,
            major,
            node_id: self.node_id.clone(),
            label: self.label.clone(),
            machine: machine(Path::new(MachineId::FILE)),
            relay_for: None,
            relayed_by: None,
            promoted_to: None,
        })
    }
}

impl LocalNode {
    /// The message with which it ships WAL: its own, or for a relay the one of the WAL's origin.
    pub(super) fn hello_for(&self, origin: Option<&Binding>) -> Result<Hello, NodeError> {
        let own = self.hello(Purpose::ShipWal)?;
        Ok(match origin {
            None => own,
            Some(origin) => Hello {
                node_id: origin.node_id.clone(),
                label: origin.label.clone(),
                machine: origin.machine.clone(),
                relayed_by: Some(own.node_id),
                ..own
            },
        })
    }
}

/// The machine's id. Without it shipping works, and only a clone of the node is not recognized.
fn machine(file: &Path) -> Option<MachineId> {
    MachineId::read(file).unwrap_or_else(|e| {
        log::warn!("{e}. A clone of this node on another machine will not be detected");
        None
    })
}
