//! What a node says of itself to another, and knows of its own cluster.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wire::{Hello, Purpose};
use crate::file_error::FileError;
use crate::install::{Install, InstallError, cluster_major};
use crate::wal::{BadControlFile, ControlFile};

/// What a node can't say of itself.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NodeError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {error}", path.display())]
    Control { path: PathBuf, error: BadControlFile },
    #[error("{} holds no cluster (no global/pg_control): set PGDATA in 2warm/local/environment.sh", .0.display())]
    NoCluster(PathBuf),
    #[error("{} names no PostgreSQL version", .0.display())]
    NoVersion(PathBuf),
}

/// The cluster's pg_control; none in a data directory that holds no cluster.
///
/// The server writes the file while we read it; the checksum of such a reading is wrong, and the next
/// one right.
pub fn read_control(pgdata: &Path) -> Result<Option<ControlFile>, NodeError> {
    let path = pgdata.join("global/pg_control");
    let read = || {
        let mut content = Vec::new();
        File::open(&path)?.take(ControlFile::BYTES as u64).read_to_end(&mut content)?;
        Ok::<_, io::Error>(content)
    };
    let mut again = true;
    loop {
        let content = match read() {
            Ok(content) => content,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::of("read", &path)(e).into()),
        };
        match ControlFile::parse(&content) {
            Ok(control) => return Ok(Some(control)),
            Err(error) if error.is_retryable() && again => {
                again = false;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(NodeError::Control { path, error }),
        }
    }
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
    let control = read_control(pgdata)?.ok_or_else(|| NodeError::NoCluster(pgdata.to_owned()))?;
    let major = match cluster_major(pgdata)? {
        Some(major) => major,
        None => control.major.ok_or_else(|| NodeError::NoVersion(pgdata.join("PG_VERSION")))?,
    };
    Ok(Hello {
        purpose,
        system_identifier: control.system_identifier,
        segment_size: control.segment_size,
        major,
        node_id: install.node_id()?,
        label: label(install),
    })
}
