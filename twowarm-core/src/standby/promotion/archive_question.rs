//! The archive is read by a child process that can be abandoned: a system call on a file system that hangs
//! can't be interrupted, and keeps the process that made it from exiting.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::PromotionError;
use super::damage::{self, Damage};
use crate::archive::{Archive, Gap, Given, check_mark};
use crate::data_directory::{identity, running_server};
use crate::file_error::FileError;
use crate::limits::output_within;
use crate::restore::RecoveryMemory;
use crate::timelines::{NewerTimeline, Timelines};
use crate::wal::SegmentName;

/// The first argument of a process that is the child; the [`Question`]'s values follow.
const ARGUMENT: &str = "--ask-archive";

/// The line that ends a complete answer.
const END: &str = "end";

/// Whether this program answers when it is started as the child. If it does not, it must not be started as the child.
static ANSWERS: AtomicBool = AtomicBool::new(false);

/// Which archive is asked, and for which standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub data_directory: PathBuf,
    pub archive: PathBuf,
    pub mark_directory: PathBuf,
    /// How long to check the segments that the standby still needs.
    pub check_for: Duration,
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Read(Content),
    /// The archive can't be read, and why.
    Failed(String),
    /// There was no answer within the time limit.
    TimedOut,
}

/// What the archive contains that matters to a promotion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// A timeline that the standby could follow and does not.
    pub newer: Option<NewerTimeline>,
    /// A segment that the standby still needs and that is missing, although a later one is there.
    pub gap: Option<Gap>,
    /// A segment in which recovery would end, although a later one is there.
    pub damage: Option<Damage>,
    /// The first segment that was not checked in time.
    pub unchecked: Option<SegmentName>,
    /// The files that were set aside because they are damaged.
    pub set_aside: BTreeSet<String>,
}

/// In a child process, does its work and returns its exit code.
pub(super) fn answer_if_asked() -> Option<ExitCode> {
    ANSWERS.store(true, Ordering::Relaxed);
    let question = Question::from_arguments(std::env::args_os().skip(1))?;
    let text = match look(&question) {
        Ok(content) => content.text(),
        Err(error) => format!("failed {}\n", error.to_string().replace('\n', " ")),
    };
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Question {
    fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Option<Question> {
        let arguments: Vec<OsString> = arguments.collect();
        let [name, data_directory, archive, mark_directory, check_for] = arguments.as_slice()
        else {
            return None;
        };
        let check_for = Duration::from_millis(check_for.to_str()?.parse().ok()?);
        (name == ARGUMENT).then(|| Question {
            data_directory: data_directory.into(),
            archive: archive.into(),
            mark_directory: mark_directory.into(),
            check_for,
        })
    }

    /// Asks the archive, by a child process.
    pub(super) fn ask(&self, limit: Duration) -> Answer {
        if !ANSWERS.load(Ordering::Relaxed) {
            let why = "the program did not call Promotion::answer_if_asked when it started";
            return Answer::Failed(why.into());
        }
        // This very program, even if another one has replaced its file. Its standard error is not passed on:
        // an abandoned child would keep it open for the caller.
        let mut child = Command::new("/proc/self/exe");
        child.arg(ARGUMENT).args([&self.data_directory, &self.archive, &self.mark_directory]);
        child.arg(self.check_for.as_millis().to_string());
        match output_within(child.stdin(Stdio::null()), limit) {
            Ok(output) => Answer::of(&output),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Answer::TimedOut,
            Err(e) => Answer::Failed(format!("could not start a process to read it: {e}")),
        }
    }
}

fn look(question: &Question) -> Result<Content, PromotionError> {
    let until = Instant::now() + question.check_for;
    let Question { data_directory, archive: directory, mark_directory, .. } = question;
    check_mark(directory, mark_directory)?;
    let archive = Archive::open(directory)?;
    let given = given(data_directory)?;
    // Before 9.2 no file of the server tells that it follows a newer timeline, until its next restart point.
    let replayed = match given {
        Given::Segment(segment) => Some(segment.timeline),
        Given::Unknown | Given::Nothing => None,
    };
    let mut checked = damage::Checked::default();
    let (newer, gap) = match identity(data_directory)?.and_then(|cluster| cluster.control) {
        Some(control) => {
            if question.check_for > Duration::ZERO {
                checked = damage::check(&archive, given, &control, data_directory, until)?;
            }
            (
                Timelines::new(directory, Some(data_directory))
                    .followable(&control)?
                    .filter(|newer| replayed.is_none_or(|timeline| timeline < newer.timeline)),
                archive.gap_of_standby(given, &control, data_directory)?,
            )
        }
        None => (None, None),
    };
    let names = fs::read_dir(directory).map_err(FileError::of("list", directory))?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let damage::Checked { damage, unchecked } = checked;
    Ok(Content {
        newer,
        gap,
        damage,
        unchecked,
        set_aside: names.filter(|name| is_set_aside(name)).collect(),
    })
}

/// What the standby's server was given since it started, as far as restoreWALFile recorded it.
fn given(data_directory: &Path) -> Result<Given, FileError> {
    let memory = RecoveryMemory::of(data_directory);
    Ok(match memory.restored() {
        Some(segment) => Given::Segment(segment),
        // Another program is its restore_command.
        None if memory.mode().is_none() && running_server(data_directory)?.is_some() => {
            Given::Unknown
        }
        None => Given::Nothing,
    })
}

/// A copy of a damaged segment that was restored, or a file whose content did not match its name.
fn is_set_aside(name: &str) -> bool {
    [".corrupt", ".foreign"].iter().any(|mark| name.contains(mark)) && !name.contains('\n')
}

impl Content {
    /// What the child prints.
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(NewerTimeline { timeline, own }) = self.newer {
            let _ = writeln!(text, "newer {timeline} {own}");
        }
        if let Some(Gap { missing, found }) = self.gap {
            let _ = writeln!(text, "gap {missing} {found}");
        }
        if let Some(Damage { segment, found, why }) = &self.damage {
            let _ = writeln!(text, "damage {segment} {found} {why}");
        }
        if let Some(segment) = self.unchecked {
            let _ = writeln!(text, "unchecked {segment}");
        }
        for name in &self.set_aside {
            let _ = writeln!(text, "set-aside {name}");
        }
        text + END + "\n"
    }

    /// Reads one line; whether it is valid.
    fn add(&mut self, line: &str) -> Option<()> {
        let (what, rest) = line.split_once(' ')?;
        let two = || rest.split_once(' ');
        match what {
            "newer" => {
                let (timeline, own) = two()?;
                let (timeline, own) = (timeline.parse().ok()?, own.parse().ok()?);
                self.newer = Some(NewerTimeline { timeline, own });
            }
            "gap" => {
                let (missing, found) = two()?;
                let (missing, found) = (missing.parse().ok()?, found.parse().ok()?);
                self.gap = Some(Gap { missing, found });
            }
            "damage" => {
                let (segment, rest) = two()?;
                let (found, why) = rest.split_once(' ')?;
                let (segment, found) = (segment.parse().ok()?, found.parse().ok()?);
                self.damage = Some(Damage { segment, found, why: why.to_owned() });
            }
            "unchecked" => self.unchecked = Some(rest.parse().ok()?),
            "set-aside" => _ = self.set_aside.insert(rest.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

impl Answer {
    /// The files that were set aside, if the archive could be read.
    pub(super) fn set_aside(self) -> BTreeSet<String> {
        match self {
            Answer::Read(content) => content.set_aside,
            Answer::Failed(_) | Answer::TimedOut => BTreeSet::new(),
        }
    }

    fn of(output: &Output) -> Answer {
        let text = String::from_utf8_lossy(&output.stdout);
        let mut content = Content::default();
        for line in text.lines() {
            if line == END {
                return Answer::Read(content);
            }
            if let Some(why) = line.strip_prefix("failed ") {
                return Answer::Failed(why.to_owned());
            }
            if content.add(line).is_none() {
                break;
            }
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        let errors = errors.lines().collect::<Vec<_>>().join(" ");
        Answer::Failed(format!("the process that reads it failed ({}) {errors}", output.status))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;
    use crate::wal::TimelineId;

    fn answer(stdout: &str, stderr: &str) -> Answer {
        let (stdout, stderr) = (stdout.into(), stderr.into());
        Answer::of(&Output { status: ExitStatus::from_raw(256), stdout, stderr })
    }

    #[test]
    fn only_a_complete_answer_is_accepted() {
        assert_eq!(answer("end\n", ""), Answer::Read(Content::default()));
        let timeline = |number| TimelineId::new(number).unwrap();
        let content = Content {
            newer: Some(NewerTimeline { timeline: timeline(2), own: timeline(1) }),
            gap: Some(Gap {
                missing: "00000001000000000000007A".parse().unwrap(),
                found: "00000001000000000000007B".parse().unwrap(),
            }),
            damage: Some(Damage {
                segment: "00000001000000000000007C".parse().unwrap(),
                found: "00000001000000000000007E".parse().unwrap(),
                why: "WAL ends at 0/7C000028: no record follows".into(),
            }),
            unchecked: Some("00000001000000000000007D".parse().unwrap()),
            set_aside: BTreeSet::from(["A.corrupt".into()]),
        };
        assert_eq!(answer(&content.text(), ""), Answer::Read(content));
        assert_eq!(answer("failed no such disk\n", ""), Answer::Failed("no such disk".into()));
        for incomplete in [
            "",
            "newer 2 1\n",
            "other\nend\n",
            "newer 2\nend\n",
            "gap 1 2\nend\n",
            "damage 1 2\nend\n",
        ] {
            match answer(incomplete, "it\npanicked") {
                Answer::Failed(why) => assert!(why.contains("status: 1) it panicked"), "{why}"),
                other => panic!("{incomplete}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_child_is_recognized_by_all_of_its_arguments() {
        let parse =
            |arguments: &[&str]| Question::from_arguments(arguments.iter().map(OsString::from));
        let question = Question {
            data_directory: "/data".into(),
            archive: "/data/archive".into(),
            mark_directory: "/local".into(),
            check_for: Duration::from_millis(1500),
        };
        assert_eq!(parse(&[ARGUMENT, "/data", "/data/archive", "/local", "1500"]), Some(question));
        assert_eq!(parse(&[ARGUMENT, "/data", "/data/archive", "/local", "x"]), None);
        assert_eq!(parse(&[ARGUMENT, "/data"]), None);
        assert_eq!(parse(&["smart"]), None);
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn a_program_that_would_not_answer_is_not_started() {
        let nowhere = PathBuf::from("/nonexistent");
        let question = Question {
            data_directory: nowhere.clone(),
            archive: nowhere.clone(),
            mark_directory: nowhere,
            check_for: Duration::ZERO,
        };
        match question.ask(Duration::from_secs(1)) {
            Answer::Failed(why) => assert!(why.contains("answer_if_asked"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
