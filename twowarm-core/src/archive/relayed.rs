//! Segments that a primary relays to this archive while its standby is down: they are kept until the standby has
//! fetched them, however far this node's own standby has replayed.

use std::fs::{self, File};
use std::time::SystemTime;

use nix::fcntl::Flock;

use super::consumers::{Consumer, parsed, text};
use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::identifiers::NodeName;
use crate::lock::{lock, open_lock_file};
use crate::wal::SegmentName;

/// In the directory of the consumers: several senders relay at the same time.
const LOCK: &str = ".lock";

impl Archive {
    /// Records that this segment is here for a standby that is down: the standby is a [`Consumer`] that needs the
    /// relayed segments. It is durable when this returns.
    ///
    /// # Errors
    /// If its file can't be read or written.
    pub fn note_relayed(
        &self,
        standby: &NodeName,
        segment: SegmentName,
    ) -> Result<(), ArchiveError> {
        let file = self.consumer_file(standby)?;
        self.create_consumers_directory()?;
        let _lock = self.lock_consumers()?;
        let known = if_exists(fs::read_to_string(&file)).map_err(FileError::of("read", &file))?;
        let known = known.map(|known| parsed(standby.to_string(), &known));
        let (floor, last, moved) = match &known {
            None => (segment, Some(segment), SystemTime::now()),
            Some(Consumer { floor: Ok(floor), last, moved, .. }) => {
                let earlier = if segment.place < floor.place { segment } else { *floor };
                let later =
                    |last: SegmentName| if segment.place > last.place { segment } else { last };
                (earlier, last.map(later), moved.unwrap_or_else(SystemTime::now))
            }
            // It keeps everything.
            Some(_) => return Ok(()),
        };
        if known.is_some_and(|known| known.floor == Ok(floor) && known.last == last) {
            // The process that wrote it may have been killed before it was on disk.
            return Ok(durable::sync_directory(&self.consumers_directory())?);
        }
        Ok(durable::write(&file, text(floor, moved, last).as_bytes())?)
    }

    /// Records that the standby for which segments were relayed needs only this segment and later ones. A consumer
    /// that needs no relayed segment any more is removed; consumers for which nothing was relayed stay as they are.
    ///
    /// # Errors
    /// If a consumer's file can't be read or written.
    pub fn note_fetched(&self, first_needed: SegmentName) -> Result<(), ArchiveError> {
        let moves = |consumer: &Consumer| {
            let floor = consumer.floor.as_ref().ok();
            consumer.last.is_some() && floor.is_some_and(|floor| floor.place < first_needed.place)
        };
        if !self.consumers()?.iter().any(moves) {
            return Ok(());
        }
        let _lock = self.lock_consumers()?;
        for consumer in self.consumers()?.into_iter().filter(moves) {
            let file = self.consumers_directory().join(&consumer.name);
            match consumer.last {
                Some(last) if first_needed.place <= last.place => {
                    let text = text(first_needed, SystemTime::now(), Some(last));
                    durable::write(&file, text.as_bytes())?;
                }
                _ => durable::remove(&file)?,
            }
        }
        Ok(())
    }

    fn lock_consumers(&self) -> Result<Flock<File>, FileError> {
        let path = self.consumers_directory().join(LOCK);
        lock(open_lock_file(&path)?, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::Floor;

    fn segment(number: u32) -> SegmentName {
        format!("00000001000000000000{number:04X}").parse().unwrap()
    }

    fn db2() -> NodeName {
        "db2".parse().unwrap()
    }

    /// The first and the last segment that is kept for db2.
    fn kept(archive: &Archive) -> Option<(SegmentName, Option<SegmentName>)> {
        let found = archive.consumers().unwrap();
        found.into_iter().next().map(|consumer| (consumer.floor.unwrap(), consumer.last))
    }

    #[test]
    fn relayed_segments_are_kept_until_they_are_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        archive.note_fetched(segment(9)).unwrap();
        assert_eq!(kept(&archive), None);
        // They may arrive in any order.
        for number in [6, 5, 8, 7, 7] {
            archive.note_relayed(&db2(), segment(number)).unwrap();
        }
        assert_eq!(kept(&archive), Some((segment(5), Some(segment(8)))));
        let said = archive.consumers().unwrap()[0].to_string();
        let expected = format!("db2 has not fetched {} to {}, ", segment(5), segment(8));
        assert!(said.starts_with(&expected), "{said}");
        for (needs, floor) in [(3, 5), (7, 7), (5, 7), (8, 8)] {
            archive.note_fetched(segment(needs)).unwrap();
            assert_eq!(kept(&archive), Some((segment(floor), Some(segment(8)))), "{needs}");
        }
        // A sender repeats one that the standby has not fetched from here.
        archive.note_relayed(&db2(), segment(6)).unwrap();
        assert_eq!(kept(&archive), Some((segment(6), Some(segment(8)))));
        archive.note_fetched(segment(9)).unwrap();
        assert_eq!(kept(&archive), None);
        archive.note_relayed(&db2(), segment(12)).unwrap();
        assert_eq!(kept(&archive), Some((segment(12), Some(segment(12)))));
    }

    #[test]
    fn other_consumers_are_not_moved_on() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        archive.register_consumer(&db2(), segment(5)).unwrap();
        archive.note_fetched(segment(9)).unwrap();
        assert_eq!(kept(&archive), Some((segment(5), None)));
        // It needs everything from a segment on, and now from an earlier one.
        archive.note_relayed(&db2(), segment(3)).unwrap();
        archive.note_fetched(segment(9)).unwrap();
        assert_eq!(kept(&archive), Some((segment(3), None)));
        fs::write(dir.path().join(".consumers/db2"), "torn").unwrap();
        archive.note_relayed(&db2(), segment(3)).unwrap();
        archive.note_fetched(segment(9)).unwrap();
        assert_eq!(archive.consumers().unwrap()[0].floor(), Floor::Unknown);
    }

    #[test]
    fn senders_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let archive = &archive;
                scope.spawn(move || {
                    for number in (0..20).map(|n| 10 + 4 * n + sender) {
                        archive.note_relayed(&db2(), segment(number)).unwrap();
                    }
                });
            }
        });
        assert_eq!(kept(&archive), Some((segment(10), Some(segment(89)))));
    }
}
