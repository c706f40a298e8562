use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Archive, ArchiveError};
use crate::file_error::FileError;
use crate::wal::{
    HistoryPlace, SegmentLayout, SegmentName, TimelineHistory, TimelineId, WalFileName,
};

/// That a later timeline left a segment's own before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkedBefore {
    /// The later timeline.
    pub timeline: TimelineId,
    /// The file that says so.
    pub history: PathBuf,
}

impl Archive {
    /// The histories in it of timelines after this one.
    pub fn histories_after(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, ArchiveError> {
        histories_after(self.path(), timeline)
    }

    /// The timeline that left the segment's own before it: a later timeline to which the segment is WAL
    /// that it does not have, by a history in the archive or in the node's own `data_directory`.
    ///
    /// A node that was promoted has the history of its new timeline nowhere but in pg_wal, and must not
    /// go on taking in what the old primary writes.
    pub fn forked_before(
        &self,
        segment: SegmentName,
        layout: SegmentLayout,
        data_directory: Option<&Path>,
    ) -> Result<Option<ForkedBefore>, ArchiveError> {
        let mut directories = vec![self.path().to_owned()];
        if let Some(data_directory) = data_directory {
            // From 10 on, and before.
            for wal in ["pg_wal", "pg_xlog"].map(|wal| data_directory.join(wal)) {
                if is_there(&wal)? {
                    directories.push(wal);
                }
            }
        }
        for directory in directories {
            let histories = histories_after(&directory, segment.timeline)?;
            let past = |history: &&TimelineHistory| {
                history.place_of(segment, layout) == HistoryPlace::PastFork
            };
            if let Some(timeline) = histories.iter().find(past).map(TimelineHistory::timeline) {
                let history = directory.join(WalFileName::History(timeline).to_string());
                return Ok(Some(ForkedBefore { timeline, history }));
            }
        }
        Ok(None)
    }
}

/// Whether the name is taken. By a link that leads nowhere, too: that is a disk that is not mounted.
fn is_there(path: &Path) -> Result<bool, FileError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::of("look for", path)(e)),
    }
}

/// The histories in a directory of timelines after this one.
///
/// All of them, not only those that follow each other without a gap, as the server looks for them: an
/// archive that was emptied in between has gaps.
fn histories_after(
    directory: &Path,
    timeline: TimelineId,
) -> Result<Vec<TimelineHistory>, ArchiveError> {
    let failed = || FileError::of("list", directory);
    let mut histories = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        // Most of a large archive are segments, of which there is nothing to parse.
        let Some(name) = name.to_str().filter(|name| name.ends_with(".history")) else { continue };
        let Ok(WalFileName::History(later)) = name.parse() else { continue };
        if later <= timeline {
            continue;
        }
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(text) => histories.push(
                TimelineHistory::parse(later, &text)
                    .map_err(|error| ArchiveError::BadHistory { path, error })?,
            ),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::of("read", &path)(e).into()),
        }
    }
    histories.sort_by_key(TimelineHistory::timeline);
    Ok(histories)
}
