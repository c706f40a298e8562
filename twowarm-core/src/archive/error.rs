use std::io;
use std::path::PathBuf;

use super::binding::BadBinding;
use crate::file_error::FileError;
use crate::identifiers::{MachineId, NodeId};
use crate::retry::Retryable;
use crate::timelines::HistoryFileError;
use crate::wal::{BadText, Lsn, SegmentName, TimelineId};

/// Why an operation on an archive failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no such directory.
    #[error(
        "archive directory \"{}\" does not exist. HINT: mount its disk; on a new standby run configStandby, which creates it",
        .0.display()
    )]
    Missing(PathBuf),
    /// The path is that of another kind of file.
    #[error("archive \"{}\" is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The directory has no mark, as an empty mount point.
    #[error(
        "archive directory \"{}\" is not the one that configStandby prepared. HINT: mount its disk; if it is the right directory, run configStandby (for carrier \"local\": remove archive_id of that node in local/replication/carrier)",
        .0.display()
    )]
    NotPrepared(PathBuf),
    /// A mounted archive of another node has no mark: it may be an empty mount point.
    #[error(
        "\"{}\" has no file \".archive\", by which a mounted disk is told from an empty mount point. HINT: mount the disk; with the first use, run configStandby on that node, or create this file, which may be empty",
        .0.display()
    )]
    Unmarked(PathBuf),
    /// The directory has another mark than the node has stored.
    #[error(
        "archive directory \"{}\" is not the one that configStandby prepared, according to \"{}\". HINT: mount its disk. If it is the right directory and that file was overwritten by another node's, copy \"{}/.archive\" over that file; else run configStandby",
        archive.display(), stored.display(), archive.display()
    )]
    AnotherMark {
        /// The archive directory.
        archive: PathBuf,
        /// The node's file with the mark.
        stored: PathBuf,
    },
    /// A file of the archive could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A different file has the name.
    #[error("\"{}\" already exists with different content and is not overwritten", .0.display())]
    Conflict(PathBuf),
    /// A name is taken, but there is no file to open.
    #[error("\"{}\" exists but cannot be opened. It may be a symbolic link to a missing file", .0.display())]
    DanglingLink(PathBuf),
    /// A timeline history file can't be that timeline's.
    #[error("{}: {error}", path.display())]
    BadHistory {
        /// The file.
        path: PathBuf,
        /// The problem.
        error: BadText,
    },
    /// The archive's `.owner` file can't be parsed.
    #[error("{}: {error}. HINT: run configStandby on the receiving node to accept a new sender", path.display())]
    BadBinding {
        /// The file.
        path: PathBuf,
        /// The problem.
        error: BadBinding,
    },
    /// The archive is bound to another cluster.
    #[error(
        "archive \"{}\" belongs to the cluster with system identifier {bound}, not {sender}. HINT: if the sender is right, move the other cluster's files out of the archive and run configStandby on the receiving node, which accepts a new sender",
        archive.display()
    )]
    AnotherCluster {
        /// The archive directory.
        archive: PathBuf,
        /// The system identifier to which it is bound.
        bound: u64,
        /// The sender's system identifier.
        sender: u64,
    },
    /// The archive is bound to another sending node.
    #[error(
        "archive \"{}\" belongs to the sender {bound}, not {sender}. HINT: if {sender} is right, run configStandby on the receiving node, which accepts a new sender",
        archive.display()
    )]
    AnotherSender {
        /// The archive directory.
        archive: PathBuf,
        /// The label of the node to which it is bound.
        bound: String,
        /// The sender's label.
        sender: String,
    },
    /// The archive belongs to a node that was promoted.
    #[error(
        "archive \"{}\" belongs to {bound}, which was promoted (timeline {timeline}): {sender} is not the primary. HINT: if {sender} is the former primary, stop its server and make it a standby: run configStandby --rejoin on it, or if that refuses, configStandby --overwrite on it and copyToStandby on {bound}. If {sender} is the primary, run configStandby on the receiving node, which accepts a new sender",
        archive.display()
    )]
    Promoted {
        /// The archive directory.
        archive: PathBuf,
        /// The label of the promoted node.
        bound: String,
        /// Its timeline.
        timeline: TimelineId,
        /// The sender's label.
        sender: String,
    },
    /// A promoted node can't take the archive over, because its timeline does not continue what the archive has.
    #[error(
        "archive \"{}\" belongs to the sender {bound}, and {sender} cannot take it over with timeline {timeline}: {why}",
        archive.display()
    )]
    NotASuccessor {
        /// The archive directory.
        archive: PathBuf,
        /// The label of the node to which it is bound.
        bound: String,
        /// The sender's label.
        sender: String,
        /// The sender's timeline.
        timeline: TimelineId,
        /// The reason.
        why: NotASuccessor,
    },
    /// The same node on the same machine, with another node id.
    #[error(
        "archive \"{}\" belongs to {sender} with the node id {bound}, but {sender} now has another node id: its file was probably removed or replaced. HINT: write {bound} into {sender}/2warm/local/replication/node_id. Only if the node was set up again: run configStandby on the receiving node and make a new base copy",
        archive.display()
    )]
    AnotherId {
        /// The archive directory.
        archive: PathBuf,
        /// The node id to which it is bound.
        bound: NodeId,
        /// The sender's label.
        sender: String,
    },
    /// The same node id on another machine.
    #[error(
        "archive \"{}\" belongs to the sender {bound} on the machine {machine}, and {sender} has the same node id on the machine {found}: its 2warm tree or data directory is probably a clone. HINT: if it is a clone, stop it, or make it a standby and remove its 2warm/local/replication/node_id. If the sender has moved to another machine permanently, run configStandby on the receiving node. If its cluster fails over on shared disks, set any_machine = true under [archive] in 2warm/local/2warm.toml on the receiving node",
        archive.display()
    )]
    AnotherMachine {
        /// The archive directory.
        archive: PathBuf,
        /// The label of the node to which it is bound.
        bound: String,
        /// The machine to which it is bound.
        machine: MachineId,
        /// The sender's label.
        sender: String,
        /// The sender's machine.
        found: MachineId,
    },
}

/// Why a timeline does not continue what an archive has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotASuccessor {
    /// The archive has this timeline already, from its sender, or a newer one.
    #[error(
        "the archive already has timeline {0}. HINT: if the sender is the primary, run configStandby on the receiving node, which accepts a new sender"
    )]
    NotNewer(TimelineId),
    /// The archive and the node have nothing with which the history could be compared.
    #[error(
        "neither the archive nor the data directory contains anything to compare it with. HINT: run configStandby on the receiving node, which accepts a new sender"
    )]
    NothingToCompare,
    /// The history does not contain the archive's newest timeline, or contains it with another history.
    #[error(
        "it is not a child of timeline {0} as the archive has it. HINT: if the sender is the primary, the receiving node needs a new base copy"
    )]
    Unrelated(TimelineId),
    /// The archive has WAL that the new timeline lacks.
    #[error(
        "the archive has {0}, which is past the point where that timeline forked: the promoted node lacks this WAL. HINT: if it may be lost, the receiving node needs a new base copy (copyToStandby or copyToDR) from the promoted node"
    )]
    Lost(SegmentName),
    /// The node has replayed WAL that the new timeline lacks.
    #[error(
        "the receiving node has replayed timeline {timeline} up to {position}, which that timeline does not contain. HINT: if the sender is the primary, the receiving node needs a new base copy (copyToStandby or copyToDR)"
    )]
    Replayed {
        /// The node's timeline.
        timeline: TimelineId,
        /// How far its server has replayed, at least.
        position: Lsn,
    },
}

impl Retryable for ArchiveError {
    /// True if mounting the disk or freeing space can help.
    fn is_retryable(&self) -> bool {
        match self {
            ArchiveError::Missing(_)
            | ArchiveError::NotPrepared(_)
            | ArchiveError::Unmarked(_)
            | ArchiveError::AnotherMark { .. }
            | ArchiveError::File(_)
            | ArchiveError::DanglingLink(_) => true,
            ArchiveError::NotADirectory(_)
            | ArchiveError::Conflict(_)
            | ArchiveError::BadHistory { .. }
            | ArchiveError::BadBinding { .. }
            | ArchiveError::AnotherCluster { .. }
            | ArchiveError::AnotherSender { .. }
            | ArchiveError::Promoted { .. }
            | ArchiveError::NotASuccessor { .. }
            | ArchiveError::AnotherId { .. }
            | ArchiveError::AnotherMachine { .. } => false,
        }
    }
}

impl ArchiveError {
    /// Whether there is no space: a full disk, an exhausted quota, a limit on the size of files.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let ArchiveError::File(error) = self else { return false };
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

impl From<HistoryFileError> for ArchiveError {
    fn from(error: HistoryFileError) -> ArchiveError {
        match error {
            HistoryFileError::File(error) => ArchiveError::File(error),
            HistoryFileError::Invalid { path, error } => ArchiveError::BadHistory { path, error },
        }
    }
}
