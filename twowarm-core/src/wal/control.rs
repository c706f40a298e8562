use std::fmt;

use super::{Expected, Lsn, SegmentLayout, SegmentSize, TimelineId};
use crate::retry::Retryable;
use crate::version::{PgMajor, RecordFormat};

mod fields;
#[cfg(test)]
mod tests;

use fields::{Fields, LAYOUTS, is_newer, newer};

/// The content of pg_control (`ControlFileData`) of PostgreSQL 8.2 to 19, from 64-bit little-endian machines.
///
/// ```no_run
/// use twowarm_core::wal::{ClusterState, ControlFile};
///
/// let bytes = std::fs::read("/var/lib/postgresql/15/main/global/pg_control")?;
/// let control = ControlFile::parse(&bytes)?;
/// println!("cluster {} on timeline {}", control.system_identifier, control.timeline);
/// if control.state == ClusterState::InArchiveRecovery {
///     println!("replay starts at {}", control.redo);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The system identifier of the cluster: the same in its WAL, its standbys and its copies.
    pub system_identifier: u64,
    /// `pg_control_version`. 9.0 and 9.1 have the same, as have 9.4 and 9.5, and 13 to 16.
    pub control_version: u32,
    /// `catalog_version_no`.
    pub catalog_version: u32,
    /// The major version of the server; `None` if the two versions do not determine it (a fork, or a beta).
    pub major: Option<PgMajor>,
    /// What the server was doing when it wrote the file.
    pub state: ClusterState,
    /// The position of the last checkpoint record.
    pub checkpoint: Lsn,
    /// The redo position of that checkpoint.
    pub redo: Lsn,
    /// The timeline of that checkpoint.
    pub timeline: TimelineId,
    /// The minimum recovery point of a standby; `None` on a primary.
    pub min_recovery_point: Option<Lsn>,
    /// The timeline of the minimum recovery point; from 9.3 on.
    pub min_recovery_timeline: Option<TimelineId>,
    /// The start of the base backup that is being recovered; from 9.0 on. `None` after its end was replayed.
    pub backup_start: Option<Lsn>,
    /// The segment size of the cluster.
    pub segment_size: SegmentSize,
    /// The size of a data page, in bytes.
    pub block_size: u32,
    /// The size of a WAL page, in bytes.
    pub wal_block_size: u32,
    /// The version of data page checksums, 0 without checksums; from 9.3 on.
    pub data_checksum_version: u32,
    format: PgMajor,
}

/// The state of the cluster (`DBState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterState {
    /// Never started.
    StartingUp,
    /// Cleanly shut down as a primary.
    ShutDown,
    /// Cleanly shut down as a standby; from 9.0 on.
    ShutDownInRecovery,
    /// Writing the shutdown checkpoint.
    ShuttingDown,
    /// Replaying its own WAL after a crash.
    InCrashRecovery,
    /// Replaying WAL from an archive: a standby, or a base backup.
    InArchiveRecovery,
    /// A running primary.
    InProduction,
}

impl ControlFile {
    /// The size of the part of the file that is used, in bytes; one sector, which is written at once.
    pub const BYTES: usize = 512;

    /// Parses pg_control, or the first [`BYTES`](ControlFile::BYTES) of it.
    ///
    /// # Errors
    /// If the file is damaged, or of a version or machine that is not supported.
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
        // 9.4 and 9.5 have the same version but not the same layout: the checksum distinguishes them.
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

    /// The system identifier in a pg_control, even if its version is newer than all known ones.
    ///
    /// # Errors
    /// If the file is damaged, or from an old version or a machine that is not supported.
    pub fn identifier_in(bytes: &[u8]) -> Result<u64, BadControlFile> {
        match ControlFile::parse(bytes) {
            Ok(control) => Ok(control.system_identifier),
            Err(BadControlFile::Newer { system_identifier, .. }) => Ok(system_identifier),
            Err(bad) => Err(bad),
        }
    }

    /// The segment layout of the cluster.
    #[must_use]
    pub fn layout(&self) -> SegmentLayout {
        SegmentLayout::new(self.format, self.segment_size)
    }
}

impl Expected {
    /// What segments of this cluster must agree with.
    #[must_use]
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

/// Prints the state as pg_controldata does.
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

/// Why pg_control can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadControlFile {
    /// The file is too short.
    #[error("only {0} bytes, too few for pg_control")]
    TooShort(usize),
    /// The version is not one from 8.2 to 19.
    #[error("pg_control has version {0}, which is not a version of PostgreSQL 8.2 to 19")]
    UnknownVersion(u32),
    /// The version is newer than all known ones. Only the system identifier can be read, which has the same
    /// offset in every version.
    #[error("pg_control has version {control_version}, of a server newer than PostgreSQL {newest}, the newest version known to this program. HINT: update twowarm", newest = PgMajor::NEWEST)]
    Newer {
        /// `pg_control_version`.
        control_version: u32,
        /// The system identifier of the cluster.
        system_identifier: u64,
    },
    /// The version is newer than all known ones, and the file is damaged or was read while the server was writing
    /// it.
    #[error("pg_control has the unknown version {0}, and no valid checksum was found in it")]
    BadNewerChecksum(u32),
    /// The file was written on a big-endian machine.
    #[error("pg_control of version {0} is from a big-endian machine")]
    BigEndian(u32),
    /// The file is damaged, from a 32-bit machine, or was read while the server was writing it.
    #[error("incorrect checksum in pg_control: calculated {expected:08X}, found {found:08X}")]
    BadChecksum {
        /// The checksum of its content.
        expected: u32,
        /// The checksum in the file.
        found: u32,
    },
    /// The cluster state is unknown.
    #[error("invalid cluster state {0} in pg_control")]
    UnknownState(u32),
    /// The timeline of the checkpoint is 0.
    #[error("invalid timeline 0 of the checkpoint in pg_control")]
    NoTimeline,
    /// The segment size is invalid.
    #[error("invalid WAL segment size of {0} bytes in pg_control")]
    BadSegmentSize(u64),
}

impl Retryable for BadControlFile {
    /// True for a wrong checksum: not every file system lets the server write the file atomically.
    fn is_retryable(&self) -> bool {
        matches!(self, BadControlFile::BadChecksum { .. } | BadControlFile::BadNewerChecksum(_))
    }
}
