use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Postmaster;
use crate::file_error::FileError;
use crate::retry::Retryable;
use crate::version::{NotAMajor, PgMajor};
use crate::wal::{
    BackupLabel, BadControlFile, ControlFile, Expected, PageHeader, SegmentLayout, SegmentName,
    SegmentPlace, SegmentSize,
};

#[cfg(test)]
mod tests;

/// Why a data directory does not say which cluster it holds.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// pg_control makes no sense.
    #[error("{}: {error}", path.display())]
    Control {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        error: BadControlFile,
    },
    /// PG_VERSION makes no sense.
    #[error("{}: {error}", path.display())]
    Version {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        error: NotAMajor,
    },
}

/// Which cluster a data directory holds: what can be told also of one whose version is newer than all that
/// are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's identifier.
    pub system_identifier: u64,
    /// Its segment size; none where only pg_control of a newer version says it, and no segment of the
    /// cluster is in its WAL directory.
    pub segment_size: Option<SegmentSize>,
    /// Its major version; none where neither pg_control nor `PG_VERSION` tells.
    pub major: Option<PgMajor>,
    /// All of pg_control; none where it is newer than all that are known.
    pub control: Option<ControlFile>,
}

impl Identity {
    /// What segments of this cluster must agree with.
    pub fn expected(&self) -> Expected {
        Expected {
            system_identifier: Some(self.system_identifier),
            segment_size: self.segment_size,
            major: self.major,
        }
    }

    /// How it lays out its WAL.
    pub fn layout(&self) -> Option<SegmentLayout> {
        Some(SegmentLayout::new(self.major.unwrap_or(PgMajor::NEWEST), self.segment_size?))
    }
}

/// Which cluster a data directory holds; none in one that has no pg_control (yet).
///
/// # Errors
/// As [`control_file`], but for a pg_control newer than all that are known in a directory whose
/// `PG_VERSION` does not contradict it.
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

/// The segment size of a cluster by the first pages of the segments in its WAL directory.
fn segment_size_by_wal(data_directory: &Path, cluster: u64) -> Option<SegmentSize> {
    let wal = data_directory.join(PgMajor::NEWEST.wal_directory());
    let segments = fs::read_dir(wal).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<SegmentName>().ok()?;
        let mut page = Vec::new();
        let file = File::open(entry.path()).ok()?;
        file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut page).ok()?;
        PageHeader::parse(&page).ok()?.long
    });
    let mut own = segments.filter(|long| long.system_identifier == cluster);
    own.next().map(|long| long.segment_size)
}

/// How often pg_control is read before a bad checksum is believed. The server does not write it
/// atomically everywhere, so that a reader beside it may see half of a change.
const READS: u32 = 20;
const BETWEEN_READS: Duration = Duration::from_millis(20);

/// `global/pg_control`; none in a directory that has none (yet).
pub fn control_file(data_directory: &Path) -> Result<Option<ControlFile>, IdentityError> {
    read_control(data_directory, ControlFile::parse).map(|found| found.map(|(control, _)| control))
}

/// All bytes of `global/pg_control`, whose checksum has been found right; of newer versions too.
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
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::of("read", &path)(e).into()),
        };
        match parse(&bytes) {
            Ok(parsed) => return Ok(Some((parsed, bytes))),
            Err(e) if e.is_retryable() && reads < READS => thread::sleep(BETWEEN_READS),
            Err(error) => return Err(IdentityError::Control { path, error }),
        }
        reads += 1;
    }
}

/// The cluster's major version, from `PG_VERSION`; none in an empty directory.
pub fn major_version(data_directory: &Path) -> Result<Option<PgMajor>, IdentityError> {
    let path = data_directory.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => text.parse().map(Some).map_err(|error| IdentityError::Version { path, error }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::of("read", &path)(e).into()),
    }
}

/// The segment in which the server's replay starts, or would start if it were started now. Nothing before
/// the redo position is ever replayed, so what crosses into this segment or an earlier one is not either.
///
/// A server that finds a backup_label goes by it; when it begins to replay, it writes the position to
/// pg_control and renames the label, in this order. From then on pg_control has the last restart point.
pub fn redo_place(data_directory: &Path, control: &ControlFile) -> SegmentPlace {
    let label = fs::read(data_directory.join("backup_label")).ok();
    let label = label.and_then(|text| BackupLabel::parse(&text).ok());
    let redo = label.map_or(control.redo, |label| label.start_lsn());
    control.layout().containing(control.timeline, redo).place
}

/// The last segment that a standby's server can't do without, as its files tell. Where pg_control can't be
/// read, that is every segment until the server has opened for queries, which it does when it is consistent.
pub fn last_place_needed(data_directory: &Path, cluster: &Identity) -> Option<SegmentPlace> {
    match &cluster.control {
        Some(control) => consistency_place(data_directory, control),
        None if Postmaster::of(data_directory).takes_connections() => None,
        None => Some(EVERY_PLACE),
    }
}

const EVERY_PLACE: SegmentPlace = SegmentPlace { log_id: u32::MAX, segment: u32::MAX };

/// The last segment that a standby's server can't do without, as far as its files tell: it would not
/// start without its checkpoint, or refuse to open before it is consistent again.
///
/// A base backup is consistent at its end, and where that is only the WAL says. Until the server has
/// seen it (from 9.0 on pg_control tells) every segment is one of those.
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
