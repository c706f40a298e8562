use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Archive, ArchiveError};
use crate::file_error::FileError;
use crate::wal::{
    SegmentInHistory, SegmentLayout, SegmentName, TimelineHistory, TimelineId, WalFileName,
    check_history,
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
        listed(self.path(), timeline, pass_over)
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
        let past = |histories: Vec<TimelineHistory>, directory: &Path| {
            let past = |history: &&TimelineHistory| {
                history.locate(segment, layout) == SegmentInHistory::PastFork
            };
            let timeline = histories.iter().find(past).map(TimelineHistory::timeline)?;
            let history = directory.join(WalFileName::History(timeline).to_string());
            Some(ForkedBefore { timeline, history })
        };
        if let Some(forked) = past(probed(self.path(), segment.timeline)?, self.path()) {
            return Ok(Some(forked));
        }
        let Some(data_directory) = data_directory else { return Ok(None) };
        // From 10 on, and before.
        for wal in ["pg_wal", "pg_xlog"].map(|wal| data_directory.join(wal)) {
            if is_there(&wal)?
                && let Some(forked) = past(listed(&wal, segment.timeline, Err)?, &wal)
            {
                return Ok(Some(forked));
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

/// The histories in a directory of timelines after this one: all of them.
fn listed(
    directory: &Path,
    timeline: TimelineId,
    on_error: impl Fn(ArchiveError) -> Result<Option<TimelineHistory>, ArchiveError>,
) -> Result<Vec<TimelineHistory>, ArchiveError> {
    let failed = || FileError::of("list", directory);
    let mut histories = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        // Most of a large archive are segments, of which there is nothing to parse.
        let Some(name) = name.to_str().filter(|name| name.ends_with(".history")) else { continue };
        if let Ok(WalFileName::History(later)) = name.parse()
            && later > timeline
        {
            histories.extend(read(directory, later).or_else(&on_error)?);
        }
    }
    histories.sort_by_key(TimelineHistory::timeline);
    Ok(histories)
}

/// How many numbers in a row may be without a history before it is believed that there are no more.
const GAP: u32 = 32;

/// The histories in a directory of timelines after this one, without a listing of all the segments
/// beside them: a large archive on a network file system takes its time for that, and this is asked
/// for every segment.
///
/// The server, too, tries one number after the other, and so gives a new timeline the first that is
/// free; it stops at the first that is missing. Here some may be, since histories get deleted.
fn probed(directory: &Path, timeline: TimelineId) -> Result<Vec<TimelineHistory>, ArchiveError> {
    let mut histories = Vec::new();
    let mut missing = 0;
    let later = (1..).map_while(|n| timeline.number().checked_add(n));
    for later in later.map_while(|number| TimelineId::new(number).ok()) {
        match read(directory, later).or_else(pass_over)? {
            Some(history) => {
                histories.push(history);
                missing = 0;
            }
            None if missing == GAP => break,
            None => missing += 1,
        }
    }
    Ok(histories)
}

/// In an archive a file that is no history is none: the right one takes its place when it comes in.
fn pass_over(error: ArchiveError) -> Result<Option<TimelineHistory>, ArchiveError> {
    match error {
        ArchiveError::BadHistory { .. } => {
            log::error!("ignored: {error}");
            Ok(None)
        }
        error => Err(error),
    }
}

fn read(directory: &Path, timeline: TimelineId) -> Result<Option<TimelineHistory>, ArchiveError> {
    let path = directory.join(WalFileName::History(timeline).to_string());
    match fs::read(&path) {
        Ok(text) => check_history(timeline, &text)
            .map(Some)
            .map_err(|error| ArchiveError::BadHistory { path, error }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::of("read", &path)(e).into()),
    }
}
