use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;

use crate::wal::WalFileName;

/// The time over which the rate of new segments is measured.
const RATE_WINDOW: Duration = Duration::from_secs(600);

/// The segments that wait to be archived, and the free space for more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// How many segments wait.
    pub segments: u64,
    /// Free space on the disk of the WAL directory, in bytes.
    pub free: u64,
    /// The time in which the disk fills up if WAL is written as fast as in the last minutes; `None` if fewer than
    /// two segments were.
    pub lasts: Option<Duration>,
}

impl Backlog {
    /// The backlog of the server with this data directory; `None` if it can't be read.
    #[must_use]
    pub fn of(data_directory: &Path) -> Option<Backlog> {
        let wal = ["pg_wal", "pg_xlog"].map(|name| data_directory.join(name));
        let wal = wal.into_iter().find(|directory| directory.is_dir())?;
        let (mut waiting, mut segment_size) = (Vec::new(), None);
        for entry in fs::read_dir(wal.join("archive_status")).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let ready = name.to_str().and_then(|name| name.strip_suffix(".ready"));
            if let Some(Ok(WalFileName::Segment(_))) = ready.map(str::parse) {
                let age = entry.metadata().and_then(|found| found.modified()).ok();
                waiting.push(age.and_then(|at| SystemTime::now().duration_since(at).ok()));
                segment_size = segment_size.or_else(|| {
                    ready
                        .and_then(|name| fs::metadata(wal.join(name)).ok())
                        .map(|found| found.len())
                });
            }
        }
        let disk = statvfs(&wal).ok()?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        let ages: Vec<Duration> = waiting.iter().copied().flatten().collect();
        let lasts = segment_size.and_then(|size| lasts(&ages, size, free));
        Some(Backlog { segments: waiting.len() as u64, free, lasts })
    }
}

/// The time in which segments, which were completed this long ago, fill the free space at their recent rate.
fn lasts(ages: &[Duration], segment_size: u64, free: u64) -> Option<Duration> {
    let recent = ages.iter().filter(|&&age| age <= RATE_WINDOW);
    let (count, oldest) = (recent.clone().count() as u64, recent.max()?);
    if count < 2 || oldest.is_zero() {
        return None;
    }
    let bytes = u128::from(count) * u128::from(segment_size);
    let milliseconds = u128::from(free) * oldest.as_millis() / bytes.max(1);
    Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, plural) = if self.segments == 1 { ("is", "") } else { ("are", "s") };
        write!(f, "{} segment{plural} {verb} waiting; ", self.segments)?;
        let tenths = self.free / (100 << 20);
        write!(f, "{}.{} GB of disk space are left for WAL", tenths / 10, tenths % 10)?;
        match self.lasts {
            Some(time) => write!(f, ", enough for {} at the present rate", rounded(time)),
            None => Ok(()),
        }
    }
}

/// A time in the largest unit in which it is at least 2.
pub(super) fn rounded(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_disk_lasts_as_long_as_the_recent_rate_allows() {
        // 6 segments of 16 MB in 60 s; an older one does not count.
        let ages = [10, 20, 30, 40, 50, 60, 5000].map(secs);
        assert_eq!(lasts(&ages, 16 << 20, 960 << 20), Some(secs(600)));
        assert_eq!(lasts(&ages[..1], 16 << 20, 960 << 20), None);
        assert_eq!(lasts(&[], 16 << 20, 960 << 20), None);
        assert_eq!(lasts(&[secs(0), secs(0)], 16 << 20, 1), None);
        assert_eq!(lasts(&ages, 1, u64::MAX).map(|time| time > secs(1 << 40)), Some(true));
    }

    #[test]
    fn only_segments_that_are_ready_wait() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Backlog::of(dir.path()), None);
        let status = dir.path().join("pg_wal/archive_status");
        fs::create_dir_all(&status).unwrap();
        let name = |number: u32| format!("0000000100000000{number:08X}");
        for number in 1..4 {
            fs::write(status.join(name(number) + ".ready"), "").unwrap();
            fs::write(dir.path().join("pg_wal").join(name(number)), [0; 100]).unwrap();
        }
        for other in [name(4) + ".done", "00000002.history.ready".into(), "x.ready".into()] {
            fs::write(status.join(other), "").unwrap();
        }
        let backlog = Backlog::of(dir.path()).unwrap();
        assert_eq!(backlog.segments, 3);
        assert!(backlog.free > 0);
        assert!(backlog.to_string().starts_with("3 segments are waiting; "), "{backlog}");
    }

    #[test]
    fn the_message_tells_how_long_the_disk_lasts() {
        let backlog = Backlog { segments: 1, free: 3 << 30, lasts: Some(secs(7500)) };
        let expected = "1 segment is waiting; 3.0 GB of disk space are left for WAL, enough for 2 h at the present rate";
        assert_eq!(backlog.to_string(), expected);
        let times = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h")];
        for (seconds, text) in times.into_iter().chain([(172_800, "2 days")]) {
            assert_eq!(rounded(secs(seconds)), text);
        }
    }
}
