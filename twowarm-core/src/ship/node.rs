//! What a node says of itself to another, and knows of its own cluster.

use std::fs;
use std::path::{Path, PathBuf};

use super::wire::{Hello, Purpose};
use crate::data_directory::{IdentityError, identity, major_version};
use crate::install::{Install, InstallError, MachineId};
use crate::version::PgMajor;

/// What a node can't say of itself.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NodeError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{} holds no cluster (no global/pg_control): set PGDATA in 2warm/local/environment.sh", .0.display())]
    NoCluster(PathBuf),
    #[error("{} names no PostgreSQL version", .0.display())]
    NoVersion(PathBuf),
    #[error("the cluster in {} is newer than PostgreSQL {newest}, the newest that this program knows, and no WAL segment of its is there to tell the segment size; update twowarm", .0.display(), newest = PgMajor::NEWEST)]
    NoSegmentSize(PathBuf),
}

/// What the node calls itself in messages: two nodes on one machine differ by their PGROOT.
pub fn label(install: &Install) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unnamed host" } else { host.trim() };
    format!("{host}:{}", install.pgroot.display())
}

/// The hello of this node, which must hold a cluster.
pub fn hello(install: &Install, purpose: Purpose) -> Result<Hello, NodeError> {
    let pgdata = install.require_pgdata()?;
    let cluster = identity(pgdata)?.ok_or_else(|| NodeError::NoCluster(pgdata.to_owned()))?;
    let major = match major_version(pgdata)? {
        Some(major) => major,
        None => cluster.major.ok_or_else(|| NodeError::NoVersion(pgdata.join("PG_VERSION")))?,
    };
    let segment_size = cluster.segment_size;
    Ok(Hello {
        purpose,
        system_identifier: cluster.system_identifier,
        segment_size: segment_size.ok_or_else(|| NodeError::NoSegmentSize(pgdata.to_owned()))?,
        major,
        node_id: install.node_id()?,
        label: label(install),
        machine: machine(Path::new(MachineId::FILE)),
    })
}

/// The machine's id. One that can't be read is no reason to ship nothing.
fn machine(file: &Path) -> Option<MachineId> {
    MachineId::read(file).unwrap_or_else(|e| {
        log::warn!("{e}; a copy of this node on another machine will not be noticed");
        None
    })
}
