use std::io;
use std::path::PathBuf;

use super::owner::BadOwner;
use crate::file_error::FileError;
use crate::identifiers::{MachineId, NodeId};
use crate::wal::BadText;

/// Why an archive could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ArchiveError {
    #[error(
        "the archive directory {} is missing: mount its disk; on a new standby configStandby makes it",
        .0.display()
    )]
    Missing(PathBuf),
    #[error("the archive {} is no directory", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "the archive directory {} is not the one that configStandby prepared: mount its disk, or run configStandby",
        .0.display()
    )]
    NotThePrepared(PathBuf),
    #[error(
        "the archive directory {} is not the one that configStandby prepared, by {}: mount its disk. If it is, since that file was replaced by another node's, copy {}/.archive over that file; else run configStandby",
        archive.display(), remembered.display(), archive.display()
    )]
    AnotherMark { archive: PathBuf, remembered: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{} already exists with different content and is not overwritten",
        .0.display()
    )]
    Conflict(PathBuf),
    #[error("{} is taken, but can't be opened: does a link there lead nowhere?", .0.display())]
    Vanished(PathBuf),
    #[error("{}: {error}", path.display())]
    BadHistory { path: PathBuf, error: BadText },
    #[error("{}: {error}: run configStandby on this node to let a sender in", path.display())]
    BadOwner { path: PathBuf, error: BadOwner },
    #[error(
        "the archive {} belongs to the cluster with system identifier {owner}, not {sender}: if the sender is right, move the other cluster's files out of it and run configStandby on this node, which lets a new sender in",
        archive.display()
    )]
    AnotherCluster { archive: PathBuf, owner: u64, sender: u64 },
    #[error(
        "the archive {} belongs to the sender {owner}, not {sender}: if the sender is right, run configStandby on this node, which lets a new sender in",
        archive.display()
    )]
    AnotherSender { archive: PathBuf, owner: String, sender: String },
    #[error(
        "the archive {} belongs to {sender} by the node id {owner}, and {sender} has another one now, as if its file was removed or replaced. Write {owner} into {sender}/2warm/local/replication/node_id. (Only a node that was set up anew needs configStandby on this node and a new base copy)",
        archive.display()
    )]
    AnotherId { archive: PathBuf, owner: NodeId, sender: String },
    #[error(
        "the archive {} belongs to the sender {owner} on the machine {bound}, and {sender} has the same node id on the machine {found}: its 2warm tree or data directory looks like a clone. If it is one, stop it, or make it a standby and remove its 2warm/local/replication/node_id. If the sender has moved to another machine for good, run configStandby on this node. If its cluster fails over on shared disks, set any_machine = true under [archive] in 2warm/local/2warm.toml on this node",
        archive.display()
    )]
    AnotherMachine {
        archive: PathBuf,
        owner: String,
        bound: MachineId,
        sender: String,
        found: MachineId,
    },
}

impl ArchiveError {
    /// Whether the same again, later, may go well: what a disk that is mounted or has room mends.
    pub fn is_retryable(&self) -> bool {
        match self {
            ArchiveError::Missing(_)
            | ArchiveError::NotThePrepared(_)
            | ArchiveError::AnotherMark { .. }
            | ArchiveError::File(_)
            | ArchiveError::Vanished(_) => true,
            ArchiveError::NotADirectory(_)
            | ArchiveError::Conflict(_)
            | ArchiveError::BadHistory { .. }
            | ArchiveError::BadOwner { .. }
            | ArchiveError::AnotherCluster { .. }
            | ArchiveError::AnotherSender { .. }
            | ArchiveError::AnotherId { .. }
            | ArchiveError::AnotherMachine { .. } => false,
        }
    }

    /// Whether there is no room: a full disk, a used up quota, a limit on the size of files.
    pub fn is_full(&self) -> bool {
        let ArchiveError::File(error) = self else { return false };
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}
