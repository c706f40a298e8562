//! The archive is read, and completed, by a child process that can be abandoned: a system call on a file system that
//! hangs can't be interrupted, and keeps the process that made it from exiting.

mod child;
mod line;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::Damage;
use super::receipt_check::ReceiptState;
use crate::archive::{Gap, OtherArchive};
use crate::child_task::end_this_process;
use crate::limits::Background;
use crate::timelines::NewerTimeline;
use crate::wal::{SegmentName, TimelineId};
pub(super) use line::Line;

/// The first argument of a process that is the child; the [`Question`]'s values follow.
const ARGUMENT: &str = "--ask-archive";

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
    /// How long to put segments of the server's own WAL directory into the archive.
    pub keep_for: Duration,
    /// How long to wait for another node while nothing arrives from it; zero if none is asked.
    pub fetch_for: Duration,
    /// After a promotion the timeline before it: nothing but the own WAL is looked at.
    pub left: Option<TimelineId>,
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

/// What the archive contains that matters to a promotion; see [`Line`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub newer: Option<NewerTimeline>,
    pub gap: Option<Gap>,
    pub damage: Option<Damage>,
    pub unchecked: Option<SegmentName>,
    pub set_aside: BTreeSet<String>,
    pub last: Option<SegmentName>,
    pub finished: Option<u64>,
    pub timeline: Option<TimelineId>,
    pub receipt: Option<ReceiptState>,
}

/// In a child process, does its work and returns its exit code.
pub(super) fn answer_if_asked(
    others: impl FnOnce() -> Vec<Arc<dyn OtherArchive>>,
) -> Option<ExitCode> {
    ANSWERS.store(true, Ordering::Relaxed);
    let question = Question::from_arguments(std::env::args_os().skip(1))?;
    let mut written = Ok(());
    let mut tell = |line: Line| {
        let mut out = io::stdout();
        let write = writeln!(out, "{line}").and_then(|()| out.flush());
        if written.is_ok() {
            written = write;
        }
    };
    match child::answer(&question, others, &mut tell) {
        Ok(()) => tell(Line::End),
        Err(error) => tell(Line::Failed(error.to_string())),
    }
    // A thread that hangs in the connection to another node is not waited for.
    if question.fetch_for > Duration::ZERO && written.is_ok() {
        end_this_process();
    }
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Question {
    fn arguments(&self) -> [OsString; 8] {
        let millis = |time: Duration| time.as_millis().to_string().into();
        let left = self.left.map_or("0".into(), |left| left.number().to_string());
        [
            ARGUMENT.into(),
            self.data_directory.clone().into(),
            self.archive.clone().into(),
            self.mark_directory.clone().into(),
            millis(self.check_for),
            millis(self.keep_for),
            millis(self.fetch_for),
            left.into(),
        ]
    }

    fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Option<Question> {
        let arguments: Vec<OsString> = arguments.collect();
        let [name, data_directory, archive, mark_directory, times @ ..] = arguments.as_slice()
        else {
            return None;
        };
        let [check_for, keep_for, fetch_for, left] = times else { return None };
        let millis = |text: &OsString| Some(Duration::from_millis(text.to_str()?.parse().ok()?));
        let (check_for, keep_for, fetch_for) =
            (millis(check_for)?, millis(keep_for)?, millis(fetch_for)?);
        let left = TimelineId::new(left.to_str()?.parse().ok()?).ok();
        (name == ARGUMENT).then(|| Question {
            data_directory: data_directory.into(),
            archive: archive.into(),
            mark_directory: mark_directory.into(),
            check_for,
            keep_for,
            fetch_for,
            left,
        })
    }

    /// Asks the archive, by a child process. The archive has not answered if there is no line for `limit`. `event` gets
    /// the lines that tell what was done, and `None` at each heartbeat.
    pub(super) fn ask(
        &self,
        limit: Duration,
        heartbeat: Duration,
        event: &mut dyn FnMut(Option<Line>),
    ) -> Answer {
        if !ANSWERS.load(Ordering::Relaxed) {
            let why = "the program did not call Promotion::answer_if_asked when it started";
            return Answer::Failed(why.into());
        }
        let mut child = match self.start() {
            Ok(child) => child,
            Err(e) => return Answer::Failed(format!("could not start a process to read it: {e}")),
        };
        let answer = match lines_of(&mut child) {
            Ok(lines) => listen(&lines, limit, heartbeat, event),
            Err(e) => Some(Answer::Failed(format!("could not start a thread: {e}"))),
        };
        if !matches!(answer, Some(Answer::Read(_) | Answer::Failed(_))) {
            let _ = child.kill();
        }
        let answer = answer.unwrap_or_else(|| failure(&mut child));
        // On another thread: a child that hangs in the kernel may never exit.
        let _ = Background::start(move || child.wait());
        answer
    }

    /// Starts this very program, even if another one has replaced its file. An abandoned child would keep the caller's
    /// standard error open, so it gets its own.
    fn start(&self) -> io::Result<Child> {
        let mut child = Command::new("/proc/self/exe");
        // argv[0] may tell where the configuration is.
        if let Some(called) = std::env::args_os().next() {
            child.arg0(called);
        }
        child.args(self.arguments());
        if Uid::effective().is_root() {
            // The server must be able to read, and to remove, what is put into the archive.
            let owner = fs::metadata(&self.data_directory)?;
            child.uid(owner.uid()).gid(owner.gid());
        }
        child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

/// Why a child ended without an answer.
fn failure(child: &mut Child) -> Answer {
    let mut errors = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut errors);
    }
    let errors = errors.lines().collect::<Vec<_>>().join(" ");
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    Answer::Failed(format!("the process that reads it failed ({status}) {errors}"))
}

/// The lines of a child, which a thread reads.
fn lines_of(child: &mut Child) -> io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        Background::start(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
    }
    Ok(lines)
}

/// Reads the child's lines up to the end of its answer; `None` if it ended before.
fn listen(
    lines: &Receiver<String>,
    limit: Duration,
    heartbeat: Duration,
    event: &mut dyn FnMut(Option<Line>),
) -> Option<Answer> {
    let mut content = Content::default();
    let mut last = Instant::now();
    loop {
        let left = limit.saturating_sub(last.elapsed());
        match lines.recv_timeout(left.min(heartbeat)) {
            Ok(line) => {
                last = Instant::now();
                match Line::parse(&line)? {
                    Line::End => return Some(Answer::Read(content)),
                    Line::Failed(why) => return Some(Answer::Failed(why)),
                    line => content.add(line).into_iter().for_each(|line| event(Some(line))),
                }
            }
            Err(RecvTimeoutError::Timeout) if last.elapsed() >= limit => {
                return Some(Answer::TimedOut);
            }
            Err(RecvTimeoutError::Timeout) => event(None),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

impl Content {
    /// Takes what describes the archive; returns a line that tells what was done.
    fn add(&mut self, line: Line) -> Option<Line> {
        match line {
            Line::Newer(newer) => self.newer = Some(newer),
            Line::Gap(gap) => self.gap = Some(gap),
            Line::Damage(damage) => self.damage = Some(damage),
            Line::Unchecked(segment) => self.unchecked = Some(segment),
            Line::SetAside(name) => _ = self.set_aside.insert(name),
            Line::Last(segment) => self.last = Some(segment),
            Line::Finished(seconds) => self.finished = Some(seconds),
            Line::Timeline(timeline) => self.timeline = Some(timeline),
            Line::Receipt(receipt) => self.receipt = Some(receipt),
            Line::Alive => {}
            other => return Some(other),
        }
        None
    }
}

impl Answer {
    /// What was found, if the archive could be read.
    pub(super) fn content(self) -> Content {
        match self {
            Answer::Read(content) => content,
            Answer::Failed(_) | Answer::TimedOut => Content::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> (Option<Answer>, Vec<Line>) {
        let (sender, lines) = mpsc::channel();
        text.lines().for_each(|line| sender.send(line.to_owned()).unwrap());
        drop(sender);
        let mut events = Vec::new();
        let second = Duration::from_secs(1);
        let answer = listen(&lines, second, second, &mut |line| events.extend(line));
        (answer, events)
    }

    #[test]
    fn only_a_complete_answer_is_accepted() {
        assert_eq!(heard("end\n").0, Some(Answer::Read(Content::default())));
        let (answer, events) =
            heard("alive\nkept 00000002.history\nlast 00000001000000000000007A\nend\nx");
        assert_eq!(events, [Line::Kept("00000002.history".parse().unwrap())]);
        let last = "00000001000000000000007A".parse().ok();
        assert_eq!(answer, Some(Answer::Read(Content { last, ..Content::default() })));
        let failed = Some(Answer::Failed("no such disk".into()));
        assert_eq!(heard("failed no such disk\n").0, failed);
        for incomplete in ["", "newer 2 1\n", "other\nend\n", "newer 2\nend\n", "gap 1 2\nend\n"] {
            assert_eq!(heard(incomplete).0, None, "{incomplete}");
        }
    }

    #[test]
    fn a_child_that_tells_nothing_is_left_after_the_limit() {
        let (sender, lines) = mpsc::channel();
        let [limit, heartbeat] = [Duration::from_millis(40), Duration::from_millis(10)];
        let mut heartbeats = 0;
        let answer =
            listen(&lines, limit, heartbeat, &mut |line| heartbeats += u32::from(line.is_none()));
        assert_eq!(answer, Some(Answer::TimedOut));
        assert!(heartbeats > 0);
        drop(sender);
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
            keep_for: Duration::from_millis(700),
            fetch_for: Duration::ZERO,
            left: TimelineId::new(3).ok(),
        };
        let arguments = question.arguments();
        assert_eq!(Question::from_arguments(arguments.into_iter()), Some(question.clone()));
        let before = Question { left: None, ..question };
        assert_eq!(Question::from_arguments(before.arguments().into_iter()), Some(before));
        let full = [ARGUMENT, "/data", "/data/archive", "/local", "1500", "1", "0", "0"];
        assert!(parse(&full).is_some());
        for at in 4..full.len() {
            let mut bad = full;
            bad[at] = "x";
            assert_eq!(parse(&bad), None, "{bad:?}");
        }
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
            keep_for: Duration::ZERO,
            fetch_for: Duration::ZERO,
            left: None,
        };
        let second = Duration::from_secs(1);
        match question.ask(second, second, &mut |_| {}) {
            Answer::Failed(why) => assert!(why.contains("answer_if_asked"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
