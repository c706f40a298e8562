//! What a node says of itself to another, and knows of its own cluster.

use std::path::{Path, PathBuf};

use super::wire::{Hello, Purpose};
use crate::data_directory::{IdentityError, identity, major_version};
use crate::identifiers::{MachineId, NodeId};
use crate::version::PgMajor;

/// What a node can't say of itself.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NodeError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{} holds no cluster (no global/pg_control): set PGDATA in 2warm/local/environment.sh", .0.display())]
    NoCluster(PathBuf),
    #[error("{} names no PostgreSQL version", .0.display())]
    NoVersion(PathBuf),
    #[error("the cluster in {} is newer than PostgreSQL {newest}, the newest that this program knows, and no WAL segment of its is there to tell the segment size; update twowarm", .0.display(), newest = PgMajor::NEWEST)]
    NoSegmentSize(PathBuf),
}

/// The node on this side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    /// Its data directory, which must hold a cluster.
    pub data_directory: PathBuf,
    /// The random name by which archives know it.
    pub node_id: NodeId,
    /// What it is called in messages.
    pub label: String,
}

impl LocalNode {
    /// How it presents itself to the other node.
    ///
    /// # Errors
    /// If its data directory holds no cluster, or one whose version or segment size can't be told.
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
        })
    }
}

/// The machine's id. One that can't be read is no reason to ship nothing.
fn machine(file: &Path) -> Option<MachineId> {
    MachineId::read(file).unwrap_or_else(|e| {
        log::warn!("{e}; a copy of this node on another machine will not be noticed");
        None
    })
}
