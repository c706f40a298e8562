//! Pruning an archive: which segments are no longer needed, and their removal.
//!
//! [`Retention`] decides what must be kept, [`Prune`] removes the rest:
//!
//! ```
//! use twowarm_core::prune::{Prune, RestartPoint, Retention};
//!
//! let retention = Retention {
//!     restored: "000000010000000C00000099".parse()?,
//!     restart_point: RestartPoint::parse(Some("000000010000000C00000098")),
//!     layout: None,
//!     keep: 0,
//!     floors: &[],
//! };
//! let prune = Prune::after_restore(&retention).expect("there is a restart point");
//! let names = ["000000010000000C00000097", "000000010000000C00000098", "00000002.history"];
//! assert_eq!(prune.plan(names).collect::<Vec<_>>(), ["000000010000000C00000097"]);
//! # let archive = tempfile::tempdir()?;
//! # let archive = archive.path();
//! # names.iter().try_for_each(|name| std::fs::write(archive.join(name), ""))?;
//! let removed = prune.run(archive, &mut |path| println!("removing {}", path.display()))?;
//! assert_eq!(removed, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keep;
mod retention;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use keep::Keep;
pub use retention::{Floor, RestartPoint, Retention};

use crate::file_error::{FileError, if_exists};
use crate::wal::SegmentLayout;

/// The removal of all segments before one from an archive, at a cost that depends on how many there are to
/// remove and not on how many the archive holds.
///
/// Only whole segments are removed: history files, `.backup` and `.partial` files and files with other
/// names are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// Log id and segment of the oldest segment to keep: the last 16 digits of its name.
    oldest: String,
    /// Timelines whose segments are looked for by name.
    timelines: Vec<u32>,
    segments_per_log_id: u64,
    /// Decides whether this run lists a large directory.
    turn: u64,
}

/// A directory of at most this many bytes is listed. How large a directory is in bytes depends on the file
/// system and on the length of its names: some 1,500 segments on ext4, more on others.
pub(crate) const SMALL: u64 = 64 * 1024;
/// A large directory is listed in one of as many runs as it has blocks of this many bytes, some 200
/// segments each on ext4. So a run's share of the listing is the same in any archive.
pub(crate) const BLOCK: u64 = 8 * 1024;
/// The search by name ends after this many consecutive places without a segment.
const MISSING: u32 = 16;
/// How many timelines are looked for by name: the newest and the seven before it.
const TIMELINES: u32 = 8;

impl Prune {
    /// The pruning that may follow a restore; `None` if everything must be kept.
    #[must_use]
    pub fn after_restore(retention: &Retention) -> Option<Prune> {
        let (oldest, restored) = (retention.oldest_needed()?, retention.restored);
        let turn = u64::from(restored.place.log_id) * 256 + u64::from(restored.place.segment);
        let prune = Prune::before(oldest.to_string(), restored.timeline.number(), turn);
        let segments_per_log_id = retention.layout.map_or(256, SegmentLayout::segments_per_log_id);
        Some(Prune { segments_per_log_id, ..prune })
    }

    /// The removal of all segments whose names, without their timelines, sort before `oldest`. In a large
    /// directory the timelines up to `newest_timeline` are looked for.
    ///
    /// `turn` is a number that grows by one from run to run, such as that of the restored segment.
    #[must_use]
    pub fn before(oldest: impl Into<String>, newest_timeline: u32, turn: u64) -> Prune {
        let first = newest_timeline.saturating_sub(TIMELINES - 1).max(1);
        let timelines = (first..=newest_timeline).collect();
        let mut oldest = oldest.into();
        if is_segment_name(&oldest) {
            oldest = oldest.split_off(8);
        }
        Prune { oldest, timelines, segments_per_log_id: 256, turn }
    }

    /// Looks for the segments of this timeline by name, too.
    #[must_use]
    pub fn and_timeline(mut self, timeline: u32) -> Prune {
        if !self.timelines.contains(&timeline) {
            self.timelines.push(timeline);
        }
        self
    }

    /// Those of these names that are to be removed.
    pub fn plan<N: AsRef<OsStr>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> impl Iterator<Item = N> {
        names.into_iter().filter(|name| {
            let name = name.as_ref().to_str();
            name.is_some_and(|name| is_segment_name(name) && name[8..] < *self.oldest)
        })
    }

    /// Removes them from an archive directory, and returns how many. `removing` is called for each file
    /// before it is removed.
    ///
    /// A small directory is listed. In a large one names are tried, from the oldest that is kept
    /// backwards, until there are none for a while. Segments before a gap, or on a timeline that is not
    /// tried, are found when the directory is listed after all, which is rarer the larger it is.
    ///
    /// # Errors
    /// If the directory cannot be listed, or at the first file that cannot be removed.
    pub fn run(&self, archive: &Path, removing: &mut dyn FnMut(&Path)) -> Result<u64, FileError> {
        let size = fs::metadata(archive).map(|m| m.size());
        if size.is_ok_and(|size| is_turn_to_list(size, self.turn)) {
            self.list(archive, removing)
        } else {
            self.step_back(archive, removing)
        }
    }

    fn list(&self, archive: &Path, removing: &mut dyn FnMut(&Path)) -> Result<u64, FileError> {
        let names = fs::read_dir(archive)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(FileError::of("list", archive));
        let names: Vec<OsString> = names?;
        self.plan(names).try_fold(0, |count, name| {
            let path = archive.join(name);
            removing(&path);
            Ok(count + u64::from(remove(&path)?))
        })
    }

    fn step_back(&self, archive: &Path, removing: &mut dyn FnMut(&Path)) -> Result<u64, FileError> {
        let (mut count, mut missing) = (0, 0);
        let mut next = self.oldest_place().and_then(|oldest| self.before_place(oldest));
        while let Some((log_id, segment)) = next.filter(|_| missing < MISSING) {
            missing += 1;
            for timeline in &self.timelines {
                let path = archive.join(format!("{timeline:08X}{log_id:08X}{segment:08X}"));
                if fs::symlink_metadata(&path).is_ok() {
                    removing(&path);
                    let removed = remove(&path)?;
                    count += u64::from(removed);
                    missing = if removed { 0 } else { missing };
                }
            }
            next = self.before_place((log_id, segment));
        }
        Ok(count)
    }

    fn oldest_place(&self) -> Option<(u64, u64)> {
        let field = |from: usize| u64::from_str_radix(self.oldest.get(from..from + 8)?, 16).ok();
        Some((field(0)?, field(8)?))
    }

    fn before_place(&self, (log_id, segment): (u64, u64)) -> Option<(u64, u64)> {
        match segment.checked_sub(1) {
            Some(segment) => Some((log_id, segment)),
            None => Some((log_id.checked_sub(1)?, self.segments_per_log_id - 1)),
        }
    }
}

/// Not at turn 0 of a log id, where pg_standby's `-k` removes nothing.
fn is_turn_to_list(size: u64, turn: u64) -> bool {
    size <= SMALL || turn % (size / BLOCK).next_power_of_two() == 1
}

/// Whether a name has 24 upper-case hexadecimal digits, including a timeline 0: what pg_standby takes for a
/// segment.
#[must_use]
pub fn is_segment_name(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
}

/// Whether the file was removed here, and not by another process before.
fn remove(path: &Path) -> Result<bool, FileError> {
    let removed = if_exists(fs::remove_file(path)).map_err(FileError::of("remove", path))?;
    Ok(removed.is_some())
}
