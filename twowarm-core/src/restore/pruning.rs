use std::path::Path;

use crate::prune::{Floor, Needs, RestartPoint, Sweep, timelines_up_to};
use crate::wal::{SegmentLayout, SegmentName};

/// What may be removed from an archive after a restore.
#[derive(Debug, Clone)]
pub struct Pruning {
    /// What the server gave as `%r`.
    pub restart_point: RestartPoint,
    /// How many segments to keep where the server gives none; 0 keeps all.
    pub keep: u32,
    /// What others have not got yet.
    pub floors: Vec<Floor>,
}

impl Pruning {
    /// Removes what nobody needs any more once this segment is restored. What goes wrong is logged: the
    /// segment was handed over, and the next restore tries again.
    pub(super) fn run(&self, archive: &Path, restored: SegmentName, layout: Option<SegmentLayout>) {
        let needs = Needs {
            restored,
            restart_point: self.restart_point,
            keep: layout.filter(|_| self.keep > 0).map(|layout| (layout, self.keep)),
            floors: &self.floors,
        };
        let Some(oldest) = needs.oldest_needed() else { return };
        let sweep = Sweep {
            archive,
            oldest: &oldest.to_string(),
            timelines: &timelines_up_to(restored.timeline.number()),
            segments_per_log_id: layout.map_or(256, SegmentLayout::segments_per_log_id),
            turn: u64::from(restored.place.log_id) * 256 + u64::from(restored.place.segment),
        };
        if let Err(e) = sweep.run(&mut |path| log::debug!("removing {}", path.display())) {
            log::warn!("could not prune the archive: {e}");
        }
    }
}
