use std::fmt;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// The longest time between two attempts to reach a node, in seconds.
const LONGEST_INTERVAL: u64 = 60;

/// The time between two detailed reports, in seconds.
const REPORT_INTERVAL: u64 = 60;

/// Which nodes are down, for the next calls. Times are in seconds since 1970.
///
/// The file is not fsynced, and two calls at the same time may overwrite each other's: what is lost costs an
/// attempt to reach a node. It says nothing about which files were shipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    outages: Vec<Outage>,
    reported: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outage {
    node: String,
    since: u64,
    next_attempt: u64,
    interval: u64,
}

impl Memory {
    /// What earlier calls have noted. An invalid file is ignored, and so is one from the future, as after the clock
    /// was set back.
    pub(super) fn read(file: &Path, now: u64) -> Memory {
        let text = fs::read_to_string(file).unwrap_or_default();
        Memory::parse(&text).filter(|memory| memory.is_possible(now)).unwrap_or_default()
    }

    /// If it can't be written, the next call tries the nodes again.
    pub(super) fn write(&self, file: &Path) {
        let result = if self.outages.is_empty() {
            fs::remove_file(file)
        } else {
            fs::write(file, self.to_string())
        };
        if let Err(error) = result {
            log::debug!("could not write \"{}\": {error}", file.display());
        }
    }

    fn parse(text: &str) -> Option<Memory> {
        let mut lines = text.lines();
        let reported = lines.next()?.strip_prefix("version=1 reported=")?.parse().ok()?;
        let mut outages = Vec::new();
        for line in lines {
            // The last line shows that the file is complete.
            if line == "end" {
                return Some(Memory { outages, reported });
            }
            let mut words = line.split(' ');
            let node = words.next()?.to_owned();
            let mut number = || words.next()?.parse().ok();
            let (since, next_attempt, interval) = (number()?, number()?, number()?);
            outages.push(Outage { node, since, next_attempt, interval });
        }
        None
    }

    fn is_possible(&self, now: u64) -> bool {
        self.reported <= now
            && self.outages.iter().all(|outage| {
                outage.since <= now
                    && outage.interval <= LONGEST_INTERVAL
                    && outage.next_attempt <= now + LONGEST_INTERVAL
            })
    }

    fn outage(&self, node: &str) -> Option<&Outage> {
        self.outages.iter().find(|outage| outage.node == node)
    }

    /// Since when a node has been down, if it is.
    pub(super) fn down_since(&self, node: &str) -> Option<u64> {
        self.outage(node).map(|outage| outage.since)
    }

    /// Whether a node is to be tried now, because it is not down or its next attempt is due.
    pub(super) fn is_due(&self, node: &str, now: u64) -> bool {
        self.outage(node).is_none_or(|outage| outage.next_attempt <= now)
    }

    /// Notes a failed attempt.
    pub(super) fn note_down(&mut self, node: &str, now: u64) {
        let (since, interval) = match self.outage(node) {
            Some(outage) => (outage.since, (outage.interval * 2).clamp(1, LONGEST_INTERVAL)),
            None => (now, 1),
        };
        self.note_up(node);
        let node = node.to_owned();
        self.outages.push(Outage { node, since, next_attempt: now + interval, interval });
    }

    /// Notes that a node has answered.
    pub(super) fn note_up(&mut self, node: &str) {
        self.outages.retain(|outage| outage.node != node);
    }

    /// Whether a detailed report is due; if so, it is noted as made.
    pub(super) fn report_is_due(&mut self, now: u64) -> bool {
        let is_due = self.reported + REPORT_INTERVAL <= now;
        if is_due {
            self.reported = now;
        }
        is_due
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version=1 reported={}", self.reported)?;
        for Outage { node, since, next_attempt, interval } in &self.outages {
            writeln!(f, "{node} {since} {next_attempt} {interval}")?;
        }
        f.write_str("end\n")
    }
}

/// A time in seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reread(memory: &Memory, now: u64) -> Memory {
        let file = tempfile::NamedTempFile::new().unwrap();
        memory.write(file.path());
        Memory::read(file.path(), now)
    }

    #[test]
    fn attempts_become_rarer_up_to_one_a_minute() {
        let (mut memory, mut now, mut intervals) = (Memory::default(), 1000, Vec::new());
        for _ in 0..9 {
            assert!(memory.is_due("db2", now));
            memory.note_down("db2", now);
            let next = (now..).find(|&later| memory.is_due("db2", later)).unwrap();
            intervals.push(next - now);
            now = next;
        }
        assert_eq!(intervals, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(memory.down_since("db2"), Some(1000));
        assert!(memory.is_due("db3", now));
        memory.note_up("db2");
        assert_eq!((memory.is_due("db2", now), memory.down_since("db2")), (true, None));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut memory = Memory::default();
        memory.note_down("user@db2", 1000);
        memory.note_down("db3", 1001);
        memory.note_down("db3", 1002);
        assert!(memory.report_is_due(1002) && !memory.report_is_due(1061));
        assert_eq!(reread(&memory, 1002), memory);
        memory.note_up("user@db2");
        memory.note_up("db3");
        assert_eq!(reread(&memory, 1002), Memory::default());
    }

    #[test]
    fn an_incomplete_or_invalid_file_is_ignored() {
        let mut memory = Memory::default();
        memory.note_down("db2", 1000);
        memory.note_down("db3", 1000);
        let text = memory.to_string();
        for length in 0..text.len() - 1 {
            let part = Memory::parse(&text[..length]);
            assert_eq!(part, None, "{:?}", &text[..length]);
        }
        for invalid in ["\0\0\0\0", "version=2 reported=0\nend\n", "version=1 reported=-1\nend\n"] {
            assert_eq!(Memory::parse(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_file_from_the_future_is_ignored() {
        let mut memory = Memory::default();
        memory.note_down("db2", 1000);
        assert_eq!(reread(&memory, 999), Memory::default());
        // An attempt that is due in an hour would keep the standby out for that long.
        memory.outages[0].next_attempt = 4600;
        assert_eq!(reread(&memory, 1000), Memory::default());
        assert_eq!(reread(&memory, 4540), memory);
    }
}
