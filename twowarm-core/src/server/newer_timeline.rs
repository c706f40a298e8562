use crate::archive::{Archive, ArchiveError};
use crate::wal::{ControlFile, ForkPoint, Lsn, TimelineHistory, TimelineId};

/// A timeline in the archive that descends from the node's own and that the node could still follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewerTimeline {
    /// The newer one.
    pub timeline: TimelineId,
    /// The node's own.
    pub own: TimelineId,
}

/// Looks in the archive for the newest timeline that this data directory's server would follow if it
/// were restarted, but has not: promoting it now would throw away what the newer one holds.
pub fn newer_timeline(
    archive: &Archive,
    control: &ControlFile,
) -> Result<Option<NewerTimeline>, ArchiveError> {
    let own = own_timeline(control);
    let later = archive.histories_after(own)?;
    let followable = later.iter().filter(|history| could_follow(control, history));
    let newest = followable.map(TimelineHistory::timeline).max();
    Ok(newest.map(|timeline| NewerTimeline { timeline, own }))
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
