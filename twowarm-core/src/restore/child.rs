//! The archive is asked by a child process: a call into a network file system whose server is away never
//! comes back, and a process with such a call in it can't even end. A wanted failover leaves the child
//! behind and goes on.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::{Clock, Found, GiveUp, Order, Outcome, RealClock, Source, Standing};
use crate::archive::Gap;
use crate::trigger::Writing;

/// The child's end of the line to its parent: its standard output.
#[derive(Debug)]
pub(super) struct ToParent {
    pipe: Option<File>,
}

const ASKING: &str = "asking";
const ANSWERED: &str = "answered";

impl ToParent {
    /// In the child. It ends when its parent is gone, until it has answered.
    pub(super) fn of_child(parent: i32) -> io::Result<ToParent> {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid().as_raw() != parent {
            return Err(io::Error::other("the parent process is gone"));
        }
        let pipe = Some(File::from(io::stdout().as_fd().try_clone_to_owned()?));
        Ok(ToParent { pipe })
    }

    /// Where the work is done without a child.
    pub(super) fn nobody() -> ToParent {
        ToParent { pipe: None }
    }

    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.pipe {
            // A parent that has left does not listen any more.
            let _ = pipe.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Gives the answer. What the child does afterwards nobody waits for.
    pub(super) fn answer(&mut self, outcome: &Outcome) {
        let _ = set_pdeathsig(None);
        self.tell(&text_of(outcome));
    }
}

/// A source that tells the parent process when it begins and ends to ask.
#[derive(Debug)]
pub(super) struct Told<'a, S> {
    pub(super) source: &'a mut S,
    pub(super) parent: &'a RefCell<&'a mut ToParent>,
}

/// A clock that does the same where it looks into the archive.
pub(super) struct ToldClock<'a> {
    pub(super) clock: RealClock,
    pub(super) parent: &'a RefCell<&'a mut ToParent>,
}

impl Clock for ToldClock<'_> {
    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn arm(&mut self) -> bool {
        self.parent.borrow_mut().tell(ASKING);
        let armed = self.clock.arm();
        self.parent.borrow_mut().tell(ANSWERED);
        armed
    }

    fn wait(&mut self, at_most: Duration) {
        self.clock.wait(at_most);
    }

    fn disarm(&mut self) {
        self.clock.disarm();
    }

    fn writing(&self, path: &Path) -> Writing {
        self.clock.writing(path)
    }
}

impl<S> Told<'_, S> {
    fn while_asking<T>(&mut self, ask: impl FnOnce(&mut S) -> T) -> T {
        self.parent.borrow_mut().tell(ASKING);
        let answer = ask(self.source);
        self.parent.borrow_mut().tell(ANSWERED);
        answer
    }
}

impl<S: Source> Source for Told<'_, S> {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        self.while_asking(|source| source.look(clock))
    }

    fn restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        self.while_asking(|source| source.restore(as_it_is))
    }

    fn set_aside(&mut self, why: &str) -> bool {
        self.while_asking(|source| source.set_aside(why))
    }

    fn gap(&mut self) -> Option<Gap> {
        self.while_asking(S::gap)
    }
}

/// How long a child may take before its archive counts as hung.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For one question, while recovery is to end when nothing more is there.
    pub(super) question: Duration,
    /// In standby mode for all, while nothing is ordered: then the answer is "not yet".
    pub(super) not_yet: Option<Duration>,
    /// How often to look.
    pub(super) tick: Duration,
}

/// An order to end now is not held up by more than this.
const END_NOW: Duration = Duration::from_secs(3);
/// A process that is killed outside the kernel has ended by then.
const DYING: Duration = Duration::from_millis(200);
/// Pruning of a healthy archive takes less; the answer waits no longer for it.
const PRUNING: Duration = Duration::from_millis(100);

/// How a child ended.
pub(super) enum Ended {
    /// It answered.
    Answered(Outcome),
    /// Its archive hangs; it was left behind.
    Hung(Outcome, Option<i32>),
    /// It ended without an answer.
    Died(ExitStatus),
}

/// A child that asks the archive, as its parent sees it.
pub(super) struct Asker {
    child: Child,
    answers: ChildStdout,
    messages: ChildStderr,
    heard: Vec<u8>,
    asking_since: Option<Instant>,
    started: Instant,
}

impl Asker {
    /// Starts it. It inherits nothing of ours: left behind, it must not keep the server's log open.
    pub(super) fn start(command: &mut Command) -> io::Result<Asker> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (answers, messages) = pipes.expect("both are piped");
        let (heard, started) = (Vec::new(), Instant::now());
        // What it needs to begin with may hang as well.
        Ok(Asker { child, answers, messages, heard, asking_since: Some(started), started })
    }

    /// Waits for its answer, but not longer than orders and limits allow while its archive hangs.
    /// `progress` is any number that changes while a copy gets on: a slow copy is not a hung one, and
    /// giving it up would lose what has arrived.
    pub(super) fn wait(
        mut self,
        progress: &dyn Fn() -> u64,
        standing: &mut dyn Standing,
        limits: Limits,
    ) -> io::Result<Ended> {
        // A child whose answer nobody hears must not go on.
        self.hear_out(progress, standing, limits).inspect_err(|_| self.abandon())
    }

    fn hear_out(
        &mut self,
        progress: &dyn Fn() -> u64,
        standing: &mut dyn Standing,
        limits: Limits,
    ) -> io::Result<Ended> {
        let mut last = (progress(), Instant::now());
        loop {
            let (answers, messages) = self.readable(limits.tick)?;
            if messages {
                self.relay();
            }
            if answers {
                match self.hear()? {
                    Heard::Nothing => {}
                    Heard::Outcome(outcome) => {
                        self.stay_for_pruning(&outcome);
                        return Ok(Ended::Answered(outcome));
                    }
                    Heard::Closed => {
                        let status = self.child.wait()?;
                        while self.readable(Duration::ZERO)?.1 && self.relay() {}
                        return Ok(Ended::Died(status));
                    }
                }
            }
            let now = progress();
            if now != last.0 {
                last = (now, Instant::now());
            }
            let Some(asked) = self.asking_since else { continue };
            let hung = asked.max(last.1).elapsed();
            if let Some(outcome) = self.left_behind(hung, standing, limits) {
                // When the file system is back it ends.
                self.abandon();
                let left_behind = !self.ends_soon()?;
                let process = left_behind.then_some(self.child.id() as i32);
                return Ok(Ended::Hung(outcome, process));
            }
        }
    }

    fn abandon(&mut self) {
        let _ = self.child.kill();
    }

    /// Whether it ends within a moment of being killed: what does not hangs in the kernel.
    fn ends_soon(&mut self) -> io::Result<bool> {
        let until = Instant::now() + DYING;
        while Instant::now() < until {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    /// What to answer without it, when its archive has hung for so long.
    fn left_behind(
        &self,
        hung: Duration,
        standing: &mut dyn Standing,
        limits: Limits,
    ) -> Option<Outcome> {
        let least = END_NOW.min(limits.question);
        if hung < least {
            return None;
        }
        let late = |limit: Duration| self.started.elapsed() >= limit + least;
        let why = match standing.look(&Blind) {
            Order::NobodyWaits(why) => return Some(Outcome::Stopped(why)),
            Order::EndNow { serve_again: false } => GiveUp::ArchiveUnavailable,
            Order::EndNow { serve_again: true } | Order::EndWhenAbsent
                if hung >= limits.question =>
            {
                GiveUp::ArchiveUnavailable
            }
            Order::Wait if limits.not_yet.is_some_and(late) => GiveUp::NotYet,
            _ => return None,
        };
        Some(Outcome::GaveUp(why))
    }

    /// Pruning follows the answer. A healthy archive takes a moment for it, and waiting for that keeps
    /// calls from overtaking each other; nobody waits longer.
    fn stay_for_pruning(&mut self, outcome: &Outcome) {
        let until = Instant::now() + PRUNING;
        loop {
            let left = match outcome {
                Outcome::Restored => until.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            match self.readable(left) {
                Ok((_, true)) if self.relay() => {}
                // Its answers end when it does.
                Ok((true, _)) if matches!(self.hear(), Ok(Heard::Closed) | Err(_)) => return,
                Ok((true, _)) => {}
                _ => return,
            }
        }
    }

    /// Whether its answers and its messages can be read, waiting so long for either.
    fn readable(&self, at_most: Duration) -> io::Result<(bool, bool)> {
        let both = [self.answers.as_fd(), self.messages.as_fd()];
        let mut fds = both.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let millis = at_most.as_nanos().div_ceil(1_000_000);
        match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let any = |fd: &PollFd| fd.any() == Some(true);
        Ok((any(&fds[0]), any(&fds[1])))
    }

    /// Passes on what it says to the server's log; false at its end.
    fn relay(&mut self) -> bool {
        let mut text = [0; 4096];
        match self.messages.read(&mut text) {
            Ok(n) if n > 0 => {
                let _ = io::stderr().write_all(&text[..n]);
                true
            }
            _ => false,
        }
    }

    fn hear(&mut self) -> io::Result<Heard> {
        let mut text = [0; 4096];
        let n = self.answers.read(&mut text)?;
        if n == 0 {
            return Ok(Heard::Closed);
        }
        self.heard.extend(&text[..n]);
        while let Some(end) = self.heard.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            match String::from_utf8_lossy(&line[..end]).as_ref() {
                ASKING => self.asking_since = Some(Instant::now()),
                ANSWERED => self.asking_since = None,
                answer => {
                    let outcome = outcome_of(answer)
                        .ok_or_else(|| io::Error::other(format!("unknown answer: {answer}")))?;
                    return Ok(Heard::Outcome(outcome));
                }
            }
        }
        Ok(Heard::Nothing)
    }
}

enum Heard {
    Nothing,
    Outcome(Outcome),
    Closed,
}

const GIVE_UPS: [(&str, GiveUp); 7] = [
    ("not-there", GiveUp::NotThere),
    ("not-yet", GiveUp::NotYet),
    ("end-when-absent", GiveUp::EndWhenAbsent),
    ("archive-unavailable", GiveUp::ArchiveUnavailable),
    ("end-now", GiveUp::EndNow),
    ("time-is-up", GiveUp::TimeIsUp),
    ("copy-failed", GiveUp::CopyFailed),
];

fn text_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Restored => "restored".to_owned(),
        Outcome::GaveUp(why) => {
            let word = GIVE_UPS.iter().find(|(_, known)| known == why).map_or("", |(word, _)| word);
            format!("gave-up {word}")
        }
        Outcome::Stopped(why) => format!("stopped {}", why.replace('\n', " ")),
        Outcome::Exit(code) => format!("exit {code}"),
    }
}

fn outcome_of(text: &str) -> Option<Outcome> {
    match text.split_once(' ') {
        None if text == "restored" => Some(Outcome::Restored),
        Some(("gave-up", word)) => {
            GIVE_UPS.iter().find(|(known, _)| *known == word).map(|(_, why)| Outcome::GaveUp(*why))
        }
        Some(("stopped", why)) => Some(Outcome::Stopped(why.to_owned())),
        Some(("exit", code)) => code.parse().ok().map(Outcome::Exit),
        _ => None,
    }
}

/// A clock that has seen nothing.
pub(super) struct Blind;

impl Clock for Blind {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn wait(&mut self, _at_most: Duration) {}

    fn writing(&self, _path: &Path) -> Writing {
        Writing::Unseen
    }
}

#[cfg(test)]
mod tests;
