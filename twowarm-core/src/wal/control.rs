use std::fmt;

use super::{Expected, Lsn, SegmentLayout, SegmentSize, TimelineId};
use crate::retry::Retryable;
use crate::version::{PgMajor, RecordFormat};

mod fields;
#[cfg(test)]
mod tests;

use fields::{Fields, LAYOUTS, is_newer, newer};

/// What pg_control says of a cluster (`ControlFileData`): 8.2 to 19, from 64-bit little-endian machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster's identifier: the same in its WAL, its standbys and its file copies.
    pub system_identifier: u64,
    /// `pg_control_version`. 9.0 and 9.1, 9.4 and 9.5, and 13 to 16 share theirs.
    pub control_version: u32,
    /// `catalog_version_no`.
    pub catalog_version: u32,
    /// The server's major; none where neither of the two versions tells it (a fork's, or a beta's).
    pub major: Option<PgMajor>,
    /// What the server was doing when it wrote the file.
    pub state: ClusterState,
    /// The position of the last checkpoint record.
    pub checkpoint: Lsn,
    /// Where redo after that checkpoint would start.
    pub redo: Lsn,
    /// The timeline of that checkpoint.
    pub timeline: TimelineId,
    /// How far a standby must replay to be consistent; none on a primary.
    pub min_recovery_point: Option<Lsn>,
    /// The timeline of that position; from 9.3 on.
    pub min_recovery_timeline: Option<TimelineId>,
    /// Where the base backup started that is being recovered; from 9.0 on, and none once its end has
    /// been replayed.
    pub backup_start: Option<Lsn>,
    /// The cluster's segment size.
    pub segment_size: SegmentSize,
    /// The size of a data page, in bytes.
    pub block_size: u32,
    /// The size of a WAL page, in bytes.
    pub wal_block_size: u32,
    /// Version of the data page checksums, 0 for none; from 9.3 on.
    pub data_checksum_version: u32,
    format: PgMajor,
}

/// `DBState`: the servers' numbers for it changed in 9.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterState {
    /// Never started.
    StartingUp,
    /// Cleanly shut down as a primary.
    ShutDown,
    /// Cleanly shut down as a standby; from 9.0 on.
    ShutDownInRecovery,
    /// At its shutdown checkpoint.
    ShuttingDown,
    /// Replaying its own WAL after a crash.
    InCrashRecovery,
    /// Replaying an archive's WAL: a standby, or a base backup.
    InArchiveRecovery,
    /// A running primary.
    InProduction,
}

impl ControlFile {
    /// So much of the file holds all that counts, and is written at once (one sector).
    pub const BYTES: usize = 512;

    /// Reads pg_control, or the first [`BYTES`](ControlFile::BYTES) of it.
    pub fn parse(bytes: &[u8]) -> Result<ControlFile, BadControlFile> {
        let fields = Fields(bytes.first_chunk().ok_or(BadControlFile::TooShort(bytes.len()))?);
        let (control_version, catalog_version) = (fields.u32(8), fields.u32(12));
        let mut sharing =
            LAYOUTS.iter().filter(|l| l.control_version == control_version).peekable();
        let Some(&first) = sharing.peek() else {
            let swapped = control_version.swap_bytes();
            let foreign = LAYOUTS.iter().any(|l| l.control_version == swapped);
            return Err(if is_newer(control_version) {
                newer(fields, control_version)
            } else if foreign {
                BadControlFile::BigEndian(swapped)
            } else {
                BadControlFile::UnknownVersion(control_version)
            });
        };
        // 9.4 and 9.5 share a version but not the layout: the checksum tells them apart.
        let layout = sharing.find(|l| l.is_intact(fields)).ok_or(BadControlFile::BadChecksum {
            expected: first.checksum_of(fields),
            found: fields.u32(first.checksum),
        })?;
        let format = layout.format();
        let read = |at| Some(fields.lsn(at?, format)).filter(|lsn| lsn.is_valid());
        let timeline = fields.u32(layout.timeline);
        let segment_size = u64::from(fields.u32(layout.wal_sizes + 4));
        Ok(ControlFile {
            system_identifier: fields.u64(0),
            control_version,
            catalog_version,
            major: layout.major(catalog_version),
            state: ClusterState::of(fields.u32(16), format)?,
            checkpoint: fields.lsn(layout.checkpoint, format),
            redo: fields.lsn(layout.redo, format),
            timeline: TimelineId::new(timeline).map_err(|_| BadControlFile::NoTimeline)?,
            min_recovery_point: read(Some(layout.min_recovery_point)),
            min_recovery_timeline: match format.record_format() {
                RecordFormat::Halves => None,
                _ => TimelineId::new(fields.u32(layout.min_recovery_point + 8)).ok(),
            },
            backup_start: read(layout.backup_start),
            segment_size: SegmentSize::new(segment_size)
                .map_err(|_| BadControlFile::BadSegmentSize(segment_size))?,
            block_size: fields.u32(layout.block_size),
            wal_block_size: fields.u32(layout.wal_sizes),
            data_checksum_version: layout.data_checksums.map_or(0, |at| fields.u32(at)),
            format,
        })
    }

    /// The cluster's identifier in a pg_control, also of a version newer than all that are known.
    pub fn identifier_in(bytes: &[u8]) -> Result<u64, BadControlFile> {
        match ControlFile::parse(bytes) {
            Ok(control) => Ok(control.system_identifier),
            Err(BadControlFile::Newer { system_identifier, .. }) => Ok(system_identifier),
            Err(bad) => Err(bad),
        }
    }

    /// How the cluster lays out its WAL.
    pub fn layout(&self) -> SegmentLayout {
        SegmentLayout::new(self.format, self.segment_size)
    }
}

impl Expected {
    /// What segments of this cluster must agree with.
    pub fn of(control: &ControlFile) -> Expected {
        Expected {
            system_identifier: Some(control.system_identifier),
            segment_size: Some(control.segment_size),
            major: control.major,
        }
    }
}

impl ClusterState {
    fn of(number: u32, format: PgMajor) -> Result<ClusterState, BadControlFile> {
        use ClusterState::*;
        let states: &[ClusterState] = if format.has_shutdown_in_recovery() {
            &[
                StartingUp,
                ShutDown,
                ShutDownInRecovery,
                ShuttingDown,
                InCrashRecovery,
                InArchiveRecovery,
                InProduction,
            ]
        } else {
            &[StartingUp, ShutDown, ShuttingDown, InCrashRecovery, InArchiveRecovery, InProduction]
        };
        let state = usize::try_from(number).ok().and_then(|index| states.get(index));
        state.copied().ok_or(BadControlFile::UnknownState(number))
    }
}

/// Prints what pg_controldata prints.
impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClusterState::StartingUp => "starting up",
            ClusterState::ShutDown => "shut down",
            ClusterState::ShutDownInRecovery => "shut down in recovery",
            ClusterState::ShuttingDown => "shutting down",
            ClusterState::InCrashRecovery => "in crash recovery",
            ClusterState::InArchiveRecovery => "in archive recovery",
            ClusterState::InProduction => "in production",
        })
    }
}

/// The bytes are no pg_control that can be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadControlFile {
    /// Less than the part that counts.
    #[error("{0} bytes are too few for pg_control")]
    TooShort(usize),
    /// No version from 8.2 to 19.
    #[error("pg_control of version {0}: not PostgreSQL 8.2 to 19")]
    UnknownVersion(u32),
    /// Of a version newer than all that are known. Of such a file only the identifier can be read, which
    /// has been in the same place in every version.
    #[error("pg_control of version {control_version}, which is newer than PostgreSQL {newest}, the newest that this program knows; update twowarm", newest = PgMajor::NEWEST)]
    Newer {
        /// `pg_control_version`.
        control_version: u32,
        /// The cluster's.
        system_identifier: u64,
    },
    /// Of a version newer than all that are known, and damaged, or read while the server was writing it.
    #[error("pg_control of version {0}, which is not known, has its checksum nowhere")]
    BadNewerChecksum(u32),
    /// Written on a machine of the other byte order.
    #[error("pg_control of version {0} from a big-endian machine")]
    BigEndian(u32),
    /// Damaged, from a 32-bit machine, or read while the server was writing it.
    #[error("pg_control has checksum {found:08X}, its content {expected:08X}")]
    BadChecksum {
        /// Calculated.
        expected: u32,
        /// In the file.
        found: u32,
    },
    /// A number that is no state.
    #[error("pg_control with cluster state {0}")]
    UnknownState(u32),
    /// The checkpoint's timeline is 0.
    #[error("pg_control with a checkpoint on timeline 0")]
    NoTimeline,
    /// The size it names is none that segments can have.
    #[error("pg_control of a cluster with segments of {0} bytes")]
    BadSegmentSize(u64),
}

impl Retryable for BadControlFile {
    /// True for a wrong checksum: not every file system lets the server write the file atomically.
    fn is_retryable(&self) -> bool {
        matches!(self, BadControlFile::BadChecksum { .. } | BadControlFile::BadNewerChecksum(_))
    }
}
