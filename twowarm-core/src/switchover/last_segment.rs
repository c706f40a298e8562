//! The last segment of a cluster that was shut down: where its WAL ends, and a copy of it up to there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{FlushError, archived};
use crate::data_directory::control_file;
use crate::durable::{Aside, remove_abandoned};
use crate::file_error::FileError;
use crate::receipt::{NoTail, Tail};
use crate::ship::WalFile;
use crate::wal::{ClusterState, ControlFile, Expected, Lsn, SegmentName, WalFileName};

/// The end of the WAL of a cluster that was shut down cleanly.
#[derive(Debug)]
pub(super) struct EndOfWal {
    pub(super) control: ControlFile,
    /// The segment with the shutdown checkpoint.
    pub(super) segment: SegmentName,
    /// The position after the shutdown checkpoint.
    pub(super) end: Lsn,
    path: PathBuf,
}

/// The files that the server had not archived when it stopped.
pub(super) fn not_archived(wal: &Path, last: SegmentName) -> Result<Vec<WalFile>, FlushError> {
    let names = archived::ready(wal)?.into_iter();
    let names = names.filter(|name| *name != WalFileName::Segment(last));
    Ok(names.map(|name| WalFile { path: wal.join(name.to_string()), name }).collect())
}

/// pg_control of a cluster that was shut down cleanly as a primary.
pub(super) fn clean_control(data_directory: &Path) -> Result<ControlFile, FlushError> {
    let unknown = || FlushError::UnknownVersion(data_directory.to_owned());
    let control = control_file(data_directory)?;
    let control = control.ok_or_else(unknown)?;
    match control.state {
        ClusterState::ShutDown => Ok(control),
        state => Err(FlushError::NotShutDown { data_directory: data_directory.to_owned(), state }),
    }
}

/// Finds the shutdown checkpoint of pg_control in its segment. It must be the last record.
pub(super) fn end_of_wal(data_directory: &Path, wal: &Path) -> Result<EndOfWal, FlushError> {
    let control = clean_control(data_directory)?;
    let segment = control.layout().containing(control.timeline, control.checkpoint);
    let path = wal.join(segment.to_string());
    let mut file = File::open(&path).map_err(FileError::of("open", &path))?;
    let found = match Tail::find(&mut file, segment, &Expected::of(&control)) {
        Ok(Tail { last_record: Some(last), end }) if last == control.checkpoint => {
            return Ok(EndOfWal { control, segment, end, path });
        }
        Ok(Tail { last_record: Some(last), end }) => {
            format!("the last record begins at {last} and ends at {end}")
        }
        Ok(Tail { last_record: None, .. }) => "it contains no record".to_owned(),
        Err(NoTail::Io(error)) => return Err(FileError::of("read", &path)(error).into()),
        Err(NoTail::Segment(error)) => return Err(FlushError::Segment { path, error }),
        Err(NoTail::Complete) => "it is complete".to_owned(),
    };
    Err(FlushError::NoCheckpoint { path, checkpoint: control.checkpoint, found })
}

impl EndOfWal {
    /// A copy of the segment up to the end of its WAL, with zeros behind it: a recycled file contains an older segment
    /// there.
    pub(super) fn copy_in(&self, directory: &Path) -> Result<Aside, FlushError> {
        let layout = self.control.layout();
        let size = layout.size().bytes();
        let start = layout.start(self.segment.place).expect("it was found in this layout");
        let length = self.end.0 - start.0;
        // Copies that interrupted flushes have left. The directory has files of the user too.
        remove_abandoned(directory, |name| {
            name.split('.').next().is_some_and(|stem| stem.parse::<SegmentName>().is_ok())
        })?;
        let mut copy = Aside::create_in(directory, &self.segment.to_string())?;
        let source = File::open(&self.path).map_err(FileError::of("open", &self.path))?;
        let copied = io::copy(&mut source.take(length), copy.file())
            .map_err(FileError::of("copy", &self.path))?;
        let mut finish = || {
            if copied != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            copy.file().flush()?;
            copy.file().set_len(size)
        };
        finish().map_err(FileError::of::<io::Error>("copy", &self.path))?;
        Ok(copy)
    }
}

/// Marks a file as archived, as the archiver does.
pub(super) fn note_archived(wal: &Path, name: &str) -> Result<(), FileError> {
    let status = wal.join("archive_status");
    let [ready, done] = ["ready", "done"].map(|suffix| status.join(format!("{name}.{suffix}")));
    fs::rename(&ready, done).map_err(FileError::of("rename", &ready))
}
