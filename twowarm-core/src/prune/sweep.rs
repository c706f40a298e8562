use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Removes from an archive what sorts before a name, at a cost that depends on what there is to remove
/// and not on what the archive holds.
///
/// A small directory is listed. In a large one the names are tried that can have become unneeded since
/// the last time: backwards from the oldest that stays, until a run of them is absent. Segments that
/// lie behind a gap, or on a timeline that is not tried, are found by listing it after all, the more
/// rarely the larger it is. No file is needed to remember anything.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// The archive directory.
    pub archive: &'a Path,
    /// The oldest segment that stays: log id and segment, the last 16 digits of its name.
    pub oldest: &'a str,
    /// Timelines whose segments are tried by name.
    pub timelines: &'a [u32],
    /// How many segments share a log id; more than there are is harmless.
    pub segments_per_log_id: u64,
    /// The number of the restored segment, or anything else that grows by one from call to call: it
    /// decides whose turn it is to list a large directory.
    pub turn: u64,
}

/// A directory of no more than this many bytes is listed. How large a directory is in bytes differs
/// between file systems and grows with its names: some 1,500 segments on ext4, more on others.
const SMALL: u64 = 64 * 1024;
/// A large directory is listed once in as many turns as it has blocks of this many bytes: some 200
/// segments each on ext4, so that a call's share of the listing is the same in any archive.
const BLOCK: u64 = 8 * 1024;
/// So many places in a row without a segment end the search by name.
const RUN: u32 = 16;

/// A file that could not be removed, or a directory that could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct NotSwept {
    /// Which.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Sweep<'_> {
    /// Removes, telling `removed` of each file before it goes, and stops at the first that can't be
    /// removed. Only names of 24 upper-case hexadecimal digits ever go.
    pub fn run(&self, removed: &mut dyn FnMut(&Path)) -> Result<u64, NotSwept> {
        let size = fs::metadata(self.archive).map(|m| m.size());
        if size.is_ok_and(|size| is_turn_to_list(size, self.turn)) {
            self.list(removed)
        } else {
            self.step_back(removed)
        }
    }

    fn list(&self, removed: &mut dyn FnMut(&Path)) -> Result<u64, NotSwept> {
        let failed = |source| NotSwept { path: self.archive.to_owned(), source };
        let mut count = 0;
        for entry in fs::read_dir(self.archive).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str().filter(|name| is_segment_name(name)) else { continue };
            if &name[8..] < self.oldest {
                let path = self.archive.join(name);
                removed(&path);
                count += u64::from(remove(path)?);
            }
        }
        Ok(count)
    }

    fn step_back(&self, removed: &mut dyn FnMut(&Path)) -> Result<u64, NotSwept> {
        let mut count = 0;
        let mut absent = 0;
        let mut place = self.place();
        while let ControlFlow::Continue((log_id, segment)) = self.before(place, absent) {
            let before = count;
            for timeline in self.timelines {
                let path = self.archive.join(format!("{timeline:08X}{log_id:08X}{segment:08X}"));
                if fs::symlink_metadata(&path).is_ok() {
                    removed(&path);
                    count += u64::from(remove(path)?);
                }
            }
            absent = if count == before { absent + 1 } else { 0 };
            place = Some((log_id, segment));
        }
        Ok(count)
    }

    fn place(&self) -> Option<(u64, u64)> {
        let field = |from: usize| u64::from_str_radix(self.oldest.get(from..from + 8)?, 16).ok();
        Some((field(0)?, field(8)?))
    }

    fn before(&self, place: Option<(u64, u64)>, absent: u32) -> ControlFlow<(), (u64, u64)> {
        match place {
            _ if absent >= RUN => ControlFlow::Break(()),
            None | Some((0, 0)) => ControlFlow::Break(()),
            Some((log_id, 0)) => ControlFlow::Continue((log_id - 1, self.segments_per_log_id - 1)),
            Some((log_id, segment)) => ControlFlow::Continue((log_id, segment - 1)),
        }
    }
}

/// Not at turn 0 of a log id, where pg_standby's `-k` removes nothing.
fn is_turn_to_list(size: u64, turn: u64) -> bool {
    size <= SMALL || turn % (size / BLOCK).next_power_of_two() == 1
}

/// The timelines whose segments [`Sweep`] tries by name: the newest and the seven before it.
pub fn timelines_up_to(newest: u32) -> Vec<u32> {
    (newest.saturating_sub(7).max(1)..=newest).collect()
}

/// 24 upper-case hexadecimal digits, timeline 0 included: what pg_standby takes for a segment.
pub fn is_segment_name(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
}

/// False when somebody else was faster.
fn remove(path: PathBuf) -> Result<bool, NotSwept> {
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(NotSwept { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn swept(list: bool, names: &[&str], oldest: &str) -> BTreeSet<String> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let sweep = Sweep {
            archive: dir.path(),
            oldest,
            timelines: &[1, 2],
            segments_per_log_id: 256,
            turn: 0,
        };
        if list { sweep.list(&mut |_| ()) } else { sweep.step_back(&mut |_| ()) }.unwrap();
        let left = fs::read_dir(dir.path()).unwrap();
        left.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn both_ways_remove_what_lies_before_and_nothing_else() {
        let goes = [
            "0000000100000001000000FE",
            "000000020000000100000000",
            "000000010000000000000100",
            "0000000100000000000000FF",
        ];
        let stays = [
            "000000010000000100000100",
            "000000010000000200000000",
            "00000002.history",
            "000000010000000100000001.partial",
            "000000010000000100000001.00000020.backup",
        ];
        let all: Vec<&str> = goes[..2].iter().chain(&goes[3..]).chain(&stays).copied().collect();
        let expected = stays.iter().map(|s| s.to_string()).collect();
        assert_eq!(swept(true, &all, "00000001000000FF"), expected);
        // By name a gap ends the search: what lies behind it stays until the next listing.
        let near = ["0000000100000001000000FE", "0000000200000001000000FD"];
        let all: Vec<&str> = near.iter().chain(&stays).copied().collect();
        assert_eq!(swept(false, &all, "00000001000000FF"), expected);
    }

    #[test]
    fn a_directory_is_listed_the_more_rarely_the_larger_it_is() {
        let listings = |size| (0..1 << 16).filter(|&turn| is_turn_to_list(size, turn)).count();
        assert_eq!(listings(4096), 1 << 16);
        assert_eq!(listings(SMALL), 1 << 16);
        assert_eq!(listings(SMALL + 1), (1 << 16) / 8);
        assert_eq!(listings(32 << 20), (1 << 16) / 4096);
        assert!(!is_turn_to_list(SMALL + 1, 0x1_0000_0100));
    }

    #[test]
    fn stepping_back_crosses_into_the_log_id_before() {
        let names = ["000000010000000100000000", "0000000100000000000000FF"];
        assert!(swept(false, &names, "0000000100000001").is_empty());
    }
}
