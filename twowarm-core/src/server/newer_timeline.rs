use std::fs;
use std::path::Path;

use super::{ServerError, read_control};
use crate::file_error::FileError;
use crate::wal::{
    ControlFile, ForkPoint, HistoryError, Lsn, TimelineHistory, TimelineId, WalFileName,
};

/// A timeline in the archive that descends from the node's own and that the node could still follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewerTimeline {
    /// The newer one.
    pub timeline: TimelineId,
    /// The node's own.
    pub own: TimelineId,
}

/// Whether there is a newer timeline can't be told.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TimelineCheckError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("{0} in the archive: {1}")]
    History(WalFileName, HistoryError),
}

/// Looks in the archive for the newest timeline that this data directory's server would follow if it
/// were restarted, but has not: promoting it now would throw away what the newer one holds.
pub fn newer_timeline(
    archive: &Path,
    pgdata: &Path,
) -> Result<Option<NewerTimeline>, TimelineCheckError> {
    let Some(control) = read_control(pgdata)? else { return Ok(None) };
    let mut newest: Option<NewerTimeline> = None;
    let entries = fs::read_dir(archive).map_err(FileError::of("read the archive", archive))?;
    for entry in entries {
        let entry = entry.map_err(FileError::of("read the archive", archive))?;
        let name = entry.file_name().to_str().and_then(|n| n.parse::<WalFileName>().ok());
        let Some(name @ WalFileName::History(timeline)) = name else { continue };
        if newest.is_some_and(|n| n.timeline >= timeline) {
            continue;
        }
        let path = entry.path();
        let text = fs::read(&path).map_err(FileError::of("read", &path))?;
        let history = TimelineHistory::parse(timeline, &text)
            .map_err(|error| TimelineCheckError::History(name, error))?;
        if could_follow(&control, &history) {
            newest = Some(NewerTimeline { timeline, own: own_timeline(&control) });
        }
    }
    Ok(newest)
}

/// The timeline that the node replays: a standby's checkpoint may be older than where it has got to.
fn own_timeline(control: &ControlFile) -> TimelineId {
    control.min_recovery_timeline.map_or(control.timeline, |t| t.max(control.timeline))
}

fn could_follow(control: &ControlFile, history: &TimelineHistory) -> bool {
    let Some(fork) = history.fork_from(own_timeline(control)) else { return false };
    // What has been replayed past the fork can't be taken back.
    let replayed = control.min_recovery_point.unwrap_or(Lsn::INVALID).max(control.checkpoint);
    match *fork {
        ForkPoint::Position(position) => replayed <= position,
        ForkPoint::Segment(segment) => {
            let timeline = segment.timeline;
            control.layout().containing(timeline, replayed).place <= segment.place
        }
    }
}
