//! Removing what neither the standby nor another consumer of the archive needs.

use std::path::Path;

use super::ArchiveSource;
use crate::archive::{Archive, ArchiveError, Consumer};
use crate::data_directory::Identity;
use crate::prune::{Floor, Prune, Retention};
use crate::wal::{SegmentLayout, SegmentName, WalFileName};

/// Consumers are reported at one segment in this many.
const REPORT_EVERY: u32 = 256;
/// Segments that a consumer loses are reported at one in this many.
const LOSS_EVERY: u64 = 16;

impl ArchiveSource<'_> {
    /// Removes segments that are no longer needed, after this one was restored. An error is only logged:
    /// the next restore tries again. `is_first` is whether it is the first one since the server's start.
    pub(in crate::restore) fn prune(&self, is_first: bool) {
        let WalFileName::Segment(restored) = self.request.name else { return };
        if let Err(e) = self.prune_after(restored, is_first) {
            log::warn!("could not prune the archive: {e}");
        }
    }

    fn prune_after(&self, restored: SegmentName, is_first: bool) -> Result<(), ArchiveError> {
        let Some(names) = self.consumers else { return Ok(()) };
        let archive = Archive::open(self.archive)?;
        let mut consumers = archive.consumers()?;
        for name in names {
            if consumers.iter().all(|consumer| consumer.name != name.to_string()) {
                // What it has received is not known, so it may need everything that is here.
                let segments = archive.segments()?.into_iter();
                let oldest = segments.min_by_key(|segment| segment.place).unwrap_or(restored);
                archive.register_consumer(name, oldest)?;
                consumers = archive.consumers()?;
            }
        }
        if is_first || restored.place.segment.is_multiple_of(REPORT_EVERY) {
            report(&consumers, self.archive);
        }
        if self.within_record {
            return Ok(());
        }
        let layout = self.cluster.as_ref().and_then(Identity::layout);
        let own = Retention {
            restored,
            restart_point: self.request.restart_point,
            layout,
            keep: self.keep,
            floors: &[],
        };
        let limited = |consumer: &Consumer| match (self.max_backlog, layout) {
            (Some(max), Some(layout)) => consumer.floor().limited(restored.place, layout, max),
            _ => consumer.floor(),
        };
        let mut floors: Vec<Floor> = consumers.iter().map(limited).collect();
        match layout {
            Some(layout) => floors.extend(self.retain.floors(
                self.archive,
                restored,
                layout,
                Some(self.data_directory),
            )),
            None if self.retain.is_set() => return Ok(()),
            None => {}
        }
        let Some(prune) = Prune::after_restore(&Retention { floors: &floors, ..own }) else {
            return Ok(());
        };
        let mut removed = Vec::new();
        let removing = &mut |path: &Path| {
            log::debug!("removing {}", path.display());
            let name = path.file_name().and_then(|name| name.to_str()?.parse::<SegmentName>().ok());
            removed.extend(name);
        };
        let done = prune.run(self.archive, removing);
        if let (Some(max), Some(layout)) = (self.max_backlog, layout) {
            for consumer in &consumers {
                report_loss(consumer, &removed, (restored, layout, max));
            }
        }
        done?;
        Ok(())
    }
}

fn report(consumers: &[Consumer], archive: &Path) {
    for consumer in consumers {
        let level = if consumer.floor.is_ok() { log::Level::Info } else { log::Level::Warn };
        log::log!(
            level,
            "{consumer}; segments that it needs are kept in the archive. HINT: if it no longer uses this archive, remove it from local/replication/drnode and, after the next restored segment, delete \"{}\"",
            archive.join(".consumers").join(&consumer.name).display()
        );
    }
}

/// An error when segments are lost: the first one, several at once, and some of the later ones.
fn report_loss(
    consumer: &Consumer,
    removed: &[SegmentName],
    (restored, layout, max): (SegmentName, SegmentLayout, u64),
) {
    let Ok(first) = &consumer.floor else { return };
    let lost_now = removed.iter().filter(|segment| segment.place >= first.place).count();
    if lost_now == 0 {
        return;
    }
    let distance = layout.distance(first.place, restored.place).unwrap_or_default();
    let lost = u64::try_from(distance).unwrap_or_default().saturating_sub(max);
    let has_first = removed.iter().any(|segment| segment.place == first.place);
    if has_first || lost_now > 1 || lost % LOSS_EVERY == 1 {
        log::error!(
            "{consumer}. Segments from {first} on are removed although {} has not received them ({lost} so far), because max_relay_backlog is {max}. HINT: {} needs a new base copy",
            consumer.name,
            consumer.name
        );
    }
}
