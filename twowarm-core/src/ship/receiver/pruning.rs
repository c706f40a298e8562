//! Removing old segments from an archive without a standby, such as one that is kept for point-in-time recovery only.

use super::Receiver;
use crate::archive::{Archive, ArchiveError, Consumer};
use crate::data_directory::control_file;
use crate::prune::{Floor, Prune, RestartPoint, Retention};
use crate::wal::{SegmentLayout, SegmentName};

impl Receiver {
    /// Removes what the retention allows, after this segment was stored. An error is only logged: the next segment tries
    /// again.
    pub(super) fn prune(&self, archive: &Archive, stored: SegmentName, layout: SegmentLayout) {
        let Some(directory) = self.data_directory.as_deref().filter(|_| self.retain.is_set())
        else {
            return;
        };
        if !matches!(control_file(directory), Ok(None)) {
            return;
        }
        let prune = || {
            let consumers = archive.consumers()?;
            let mut floors: Vec<Floor> = consumers.iter().map(Consumer::floor).collect();
            floors.extend(self.retain.floors(archive.path(), stored, layout, Some(directory)));
            let retention = Retention {
                restored: stored,
                restart_point: RestartPoint::At(stored),
                layout: Some(layout),
                keep: 0,
                floors: &floors,
            };
            if let Some(prune) = Prune::after_restore(&retention) {
                prune
                    .run(archive.path(), &mut |path| log::debug!("removing {}", path.display()))?;
            }
            Ok::<(), ArchiveError>(())
        };
        if let Err(e) = prune() {
            log::warn!("could not prune the archive: {e}");
        }
    }
}
