//! What the calls of restore_command remember for each other about other nodes' archives.

use std::fs;
use std::path::{Path, PathBuf};

use super::schedule::Schedule;
use crate::data_directory::Postmaster;
use crate::wal::WalFileName;

/// The file in the data directory. A base copy leaves out all files with this prefix.
const FILE: &str = ".twowarm_fetching";

/// Bound to the postmaster, as [`RecoveryMemory`](crate::restore::RecoveryMemory), and apart from it, because it is
/// written by the process that asks the archives. Losing it costs a question.
#[derive(Debug)]
pub(super) struct FetchMemory {
    file: PathBuf,
    postmaster: Option<String>,
    facts: Facts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Of the segment that the server waits for.
    pub(super) segment: Option<Schedule>,
    /// Of the last other file that it requested in vain.
    pub(super) other: Option<Schedule>,
    /// The nodes that could not be asked.
    pub(super) failing: Vec<Failing>,
    /// The nodes that could not be asked in this failover.
    pub(super) unavailable: Vec<String>,
    /// The nodes and files that were asked for in this failover.
    pub(super) answered: Vec<(String, WalFileName)>,
}

/// A node that could not be asked. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) node: String,
    /// When it is asked again.
    pub(super) next: u64,
    /// The time until the question after that.
    pub(super) interval: u64,
    /// When the reason was logged last.
    pub(super) logged: u64,
    pub(super) why: String,
}

impl FetchMemory {
    /// What was recorded for the server that runs in this data directory.
    pub(super) fn of(data_directory: &Path) -> FetchMemory {
        let file = data_directory.join(FILE);
        let postmaster = Postmaster::of(data_directory).identity();
        let mut memory = FetchMemory { file, postmaster, facts: Facts::default() };
        memory.read();
        memory
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Changes what is recorded. Another process may have written since.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Facts)) {
        self.read();
        let before = self.facts.clone();
        change(&mut self.facts);
        let Some(postmaster) = self.postmaster.as_ref().filter(|_| before != self.facts) else {
            return;
        };
        // Renamed, so that no process reads half of it; not fsynced, since after a crash it is not used.
        let aside = self.file.with_extension(format!("{}.new", std::process::id()));
        let written = fs::write(&aside, self.facts.text(postmaster))
            .and_then(|()| fs::rename(&aside, &self.file));
        if let Err(e) = written {
            let _ = fs::remove_file(&aside);
            log::debug!("could not write \"{}\": {e}", self.file.display());
            // This call remembers it all the same. The file is not read again.
            self.postmaster = None;
        }
    }

    fn read(&mut self) {
        let Some(postmaster) = &self.postmaster else { return };
        if let Ok(text) = fs::read_to_string(&self.file)
            && let Some(facts) = Facts::parse(&text, postmaster)
        {
            self.facts = facts;
        }
    }
}

impl Facts {
    /// Whether anything is recorded about a failover.
    pub(super) fn is_in_failover(&self) -> bool {
        !self.unavailable.is_empty() || !self.answered.is_empty()
    }

    /// Forgets what is recorded about a failover.
    pub(super) fn end_failover(&mut self) {
        self.unavailable.clear();
        self.answered.clear();
    }

    fn text(&self, postmaster: &str) -> String {
        let mut text = format!("postmaster {postmaster}\n");
        let schedules = [("segment", &self.segment), ("other", &self.other)];
        for (word, schedule) in schedules.into_iter().filter_map(|(w, s)| Some((w, s.as_ref()?))) {
            let Schedule { name, next, interval, gap } = schedule;
            text += &format!("{word} {name} {next} {interval} {}\n", u8::from(*gap));
        }
        for Failing { node, next, interval, logged, why } in &self.failing {
            text += &format!("failing {node} {next} {interval} {logged} {}\n", one_line(why));
        }
        for node in &self.unavailable {
            text += &format!("unavailable {node}\n");
        }
        for (node, name) in &self.answered {
            text += &format!("answered {node} {name}\n");
        }
        text
    }

    /// None if it is another server's, or of another version.
    fn parse(text: &str, postmaster: &str) -> Option<Facts> {
        let mut lines = text.lines();
        if lines.next()? != format!("postmaster {postmaster}") {
            return None;
        }
        let mut facts = Facts::default();
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "segment" => facts.segment = Some(schedule(rest)?),
                "other" => facts.other = Some(schedule(rest)?),
                "failing" => {
                    let mut fields = rest.splitn(5, ' ');
                    facts.failing.push(Failing {
                        node: fields.next()?.to_owned(),
                        next: fields.next()?.parse().ok()?,
                        interval: fields.next()?.parse().ok()?,
                        logged: fields.next()?.parse().ok()?,
                        why: fields.next()?.to_owned(),
                    });
                }
                "unavailable" => facts.unavailable.push(rest.to_owned()),
                "answered" => {
                    let (node, name) = rest.split_once(' ')?;
                    facts.answered.push((node.to_owned(), name.parse().ok()?));
                }
                _ => return None,
            }
        }
        Some(facts)
    }
}

fn schedule(text: &str) -> Option<Schedule> {
    let mut fields = text.split(' ');
    Some(Schedule {
        name: fields.next()?.parse().ok()?,
        next: fields.next()?.parse().ok()?,
        interval: fields.next()?.parse().ok()?,
        gap: fields.next()? == "1",
    })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_back_for_the_same_server_only() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = |pid: u32| {
            fs::write(dir.path().join("postmaster.pid"), format!("{pid}\n/d\n1\n")).unwrap();
        };
        pid_file(std::process::id());
        let name = |text: &str| text.parse::<WalFileName>().unwrap();
        let (segment, history) = (name("000000010000000C00000099"), name("00000002.history"));
        let mut memory = FetchMemory::of(dir.path());
        memory.update(|facts| {
            facts.segment = Some(Schedule::new(segment, 5).asked(7, true));
            facts.other = Some(Schedule::new(history, 5));
            let why = "two\nlines".to_owned();
            let node = "db3".to_owned();
            facts.failing = vec![Failing { node, next: 1, interval: 2, logged: 3, why }];
            facts.unavailable = vec!["db3".into(), "db4".into()];
            facts.answered = vec![("db3".into(), history)];
        });
        let again = FetchMemory::of(dir.path());
        assert_eq!(again.facts().failing[0].why, "two lines");
        let rest = |memory: &FetchMemory| Facts { failing: Vec::new(), ..memory.facts().clone() };
        assert_eq!(rest(&again), rest(&memory));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
        pid_file(1);
        assert_eq!(FetchMemory::of(dir.path()).facts(), &Facts::default());
        fs::write(dir.path().join(FILE), "postmaster").unwrap();
        pid_file(std::process::id());
        assert_eq!(
            FetchMemory::of(dir.path()).facts(),
            &Facts::default(),
            "a torn file is ignored"
        );
    }
}
