use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Postmaster;
use crate::file_error::{FileError, if_exists};
use crate::retry::Retryable;
use crate::version::{NotAMajor, PgMajor};
use crate::wal::{
    BackupLabel, BadControlFile, ControlFile, Expected, PageHeader, SegmentLayout, SegmentName,
    SegmentPlace, SegmentSize, first_page,
};

#[cfg(test)]
mod tests;

/// Why the cluster of a data directory is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// pg_control is invalid.
    #[error("{}: {error}", path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: BadControlFile,
    },
    /// PG_VERSION is invalid.
    #[error("{}: {error}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its content.
        error: NotAMajor,
    },
}

/// The cluster in a data directory: facts that are known even if its version is newer than the supported ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The system identifier.
    pub system_identifier: u64,
    /// The segment size; `None` if only the pg_control of a newer version contains it, and the WAL directory has
    /// no segment of the cluster.
    pub segment_size: Option<SegmentSize>,
    /// The major version; `None` if neither pg_control nor `PG_VERSION` tells.
    pub major: Option<PgMajor>,
    /// The whole pg_control; `None` if its version is newer than the supported ones.
    pub control: Option<ControlFile>,
}

impl Identity {
    /// What segments of this cluster are checked against.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected {
            system_identifier: Some(self.system_identifier),
            segment_size: self.segment_size,
            major: self.major,
        }
    }

    /// How its WAL is divided into segments.
    #[must_use]
    pub fn layout(&self) -> Option<SegmentLayout> {
        Some(SegmentLayout::new(self.major.unwrap_or(PgMajor::NEWEST), self.segment_size?))
    }
}

/// The cluster in a data directory; `None` if it has no pg_control.
///
/// # Errors
/// As [`control_file`], except that a pg_control of a newer version is accepted if `PG_VERSION` does not
/// contradict it.
pub fn identity(data_directory: &Path) -> Result<Option<Identity>, IdentityError> {
    let newer = match control_file(data_directory) {
        Ok(None) => return Ok(None),
        Ok(Some(control)) => {
            let major = match control.major {
                Some(major) => Some(major),
                None => major_version(data_directory)?,
            };
            return Ok(Some(Identity {
                system_identifier: control.system_identifier,
                segment_size: Some(control.segment_size),
                major,
                control: Some(control),
            }));
        }
        Err(newer) => newer,
    };
    let IdentityError::Control { error: BadControlFile::Newer { system_identifier, .. }, .. } =
        newer
    else {
        return Err(newer);
    };
    let major = major_version(data_directory)?;
    if major.is_some_and(|major| major < PgMajor::NEWEST) {
        return Err(newer);
    }
    let segment_size = segment_size_by_wal(data_directory, system_identifier);
    Ok(Some(Identity { system_identifier, segment_size, major, control: None }))
}

/// The segment size of a cluster, from the first page of a segment in its WAL directory.
fn segment_size_by_wal(data_directory: &Path, cluster: u64) -> Option<SegmentSize> {
    let wal = data_directory.join(PgMajor::NEWEST.wal_directory());
    let segments = fs::read_dir(wal).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<SegmentName>().ok()?;
        let page = first_page(File::open(entry.path()).ok()?).ok()?;
        PageHeader::parse(&page).ok()?.long
    });
    let mut own = segments.filter(|long| long.system_identifier == cluster);
    own.next().map(|long| long.segment_size)
}

/// How often pg_control is read before an invalid checksum is accepted as such. The server does not write the
/// file atomically on every system, so a concurrent reader may see part of a change.
const READS: u32 = 20;
const BETWEEN_READS: Duration = Duration::from_millis(20);

/// Parses `global/pg_control`; `None` if there is none.
///
/// # Errors
/// If it can't be read, is invalid, or its version is not supported.
pub fn control_file(data_directory: &Path) -> Result<Option<ControlFile>, IdentityError> {
    read_control(data_directory, ControlFile::parse).map(|found| found.map(|(control, _)| control))
}

/// The bytes of `global/pg_control`, of any version, after its checksum was verified; `None` if there is none.
///
/// # Errors
/// If it can't be read or is invalid.
pub fn control_bytes(data_directory: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    read_control(data_directory, ControlFile::identifier_in)
        .map(|found| found.map(|(_, bytes)| bytes))
}

fn read_control<T>(
    data_directory: &Path,
    parse: impl Fn(&[u8]) -> Result<T, BadControlFile>,
) -> Result<Option<(T, Vec<u8>)>, IdentityError> {
    let path = data_directory.join("global/pg_control");
    let mut reads = 1;
    loop {
        let bytes = if_exists(fs::read(&path)).map_err(FileError::of("read", &path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        match parse(&bytes) {
            Ok(parsed) => return Ok(Some((parsed, bytes))),
            Err(e) if e.is_retryable() && reads < READS => thread::sleep(BETWEEN_READS),
            Err(error) => return Err(IdentityError::Control { path, error }),
        }
        reads += 1;
    }
}

/// The cluster's major version, from `PG_VERSION`; `None` if there is no such file.
///
/// # Errors
/// If the file can't be read or is not a version.
pub fn major_version(data_directory: &Path) -> Result<Option<PgMajor>, IdentityError> {
    let path = data_directory.join("PG_VERSION");
    let text = if_exists(fs::read_to_string(&path)).map_err(FileError::of("read", &path))?;
    let major = text.map(|text| text.parse()).transpose();
    major.map_err(|error| IdentityError::Version { path, error })
}

/// The segment in which the server's replay starts, or would start if it were started now. No record before the
/// redo position is replayed, including one that continues in this segment.
///
/// A server that finds a backup_label uses its position. When replay begins, it writes the position to
/// pg_control and then renames the label. From then on pg_control has the last restart point.
pub(crate) fn redo_place(data_directory: &Path, control: &ControlFile) -> SegmentPlace {
    let label = fs::read(data_directory.join("backup_label")).ok();
    let label = label.and_then(|text| BackupLabel::parse(&text).ok());
    let redo = label.map_or(control.redo, |label| label.start_lsn());
    control.layout().containing(control.timeline, redo).place
}

/// The last segment that a standby's server can't open without, according to its files. If pg_control can't be
/// parsed, that is every segment until the server takes connections, as it does once it is consistent.
pub(crate) fn last_place_needed(data_directory: &Path, cluster: &Identity) -> Option<SegmentPlace> {
    match &cluster.control {
        Some(control) => consistency_place(data_directory, control),
        None if Postmaster::of(data_directory).takes_connections() => None,
        None => Some(EVERY_PLACE),
    }
}

const EVERY_PLACE: SegmentPlace = SegmentPlace { log_id: u32::MAX, segment: u32::MAX };

/// The last segment that a standby's server can't open without: it does not start without its checkpoint, and
/// does not open before it is consistent.
///
/// A base backup is consistent at its end, a position that only the WAL contains. Until the server has replayed
/// it (from 9.0 on pg_control tells) every segment is needed.
fn consistency_place(data_directory: &Path, control: &ControlFile) -> Option<SegmentPlace> {
    let layout = control.layout();
    let holding = |lsn| layout.containing(control.timeline, lsn).place;
    let replayed = control
        .min_recovery_point
        .and_then(|end| layout.ending_at(control.timeline, end))
        .map(|name| name.place);
    let label = fs::read(data_directory.join("backup_label")).ok();
    let label = label.and_then(|text| BackupLabel::parse(&text).ok());
    let knows_backups = !matches!(control.major, Some(major) if !major.has_shutdown_in_recovery());
    if control.backup_start.is_some() || (knows_backups && label.is_some()) {
        return Some(EVERY_PLACE);
    }
    let backup = label.map(|label| holding(label.checkpoint()));
    [Some(holding(control.checkpoint)), replayed, backup].into_iter().flatten().max()
}
