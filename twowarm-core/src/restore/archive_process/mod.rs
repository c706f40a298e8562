//! The archive is asked by a child process. A call into a network file system whose server is down does
//! not return, and a process in such a call cannot even exit; a failover then leaves the child behind.
//!
//! The child is this program once more, with the same arguments: see [`ASK_ARCHIVE`].

mod child;
mod message;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(super) use child::{ASK_ARCHIVE, Reporting, ToParent};

use super::{Clock, GiveUp, Order, Outcome, RecoveryOrders};
use crate::trigger::Writing;
use message::Message;

/// How long the archive may take before it is considered unavailable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For one call into it, while recovery is to end.
    pub(super) question: Duration,
    /// In standby mode, without an order, for the whole request: then the answer is "not yet".
    pub(super) not_yet: Option<Duration>,
    /// How often to check.
    pub(super) tick: Duration,
}

/// An order to end recovery now is delayed by at most this.
const END_NOW: Duration = Duration::from_secs(3);
/// A killed process that is not in a call into the kernel has ended after this.
const DYING: Duration = Duration::from_millis(200);
/// Pruning a healthy archive takes less; the answer does not wait longer for it.
const PRUNING: Duration = Duration::from_millis(100);

/// How the child ended.
pub(super) enum Ended {
    /// It answered.
    Answered(Outcome),
    /// The archive does not answer. The child was killed; its process id follows if it has not ended.
    Hung(Outcome, Option<i32>),
    /// It ended without an answer.
    Died(ExitStatus),
}

/// The child process that asks the archive, as its parent sees it.
pub(super) struct ArchiveProcess {
    child: Child,
    messages: UnixStream,
    log: ChildStderr,
    received: Vec<u8>,
    asking_since: Option<Instant>,
    started: Instant,
}

enum Received {
    Nothing,
    Outcome(Outcome),
    Pruned,
    EndOfFile,
}

impl ArchiveProcess {
    /// Starts it. It inherits no open file: if it is left behind, it must not keep the server's log open.
    pub(super) fn start(mut command: Command) -> io::Result<ArchiveProcess> {
        let (messages, theirs) = UnixStream::pair()?;
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // It holds the child's end, without whose last copy there is no end of file.
        drop(command);
        let log = child.stderr.take().expect("it is piped");
        let (received, started) = (Vec::new(), Instant::now());
        // The child may hang before its first message.
        let asking_since = Some(started);
        Ok(ArchiveProcess { child, messages, log, received, asking_since, started })
    }

    /// Waits for its answer, but while the archive hangs no longer than orders and limits allow.
    /// `progress` is a number that changes while a copy proceeds: a slow copy is not a hung one, and
    /// abandoning it would lose what has arrived.
    pub(super) fn wait(
        mut self,
        progress: &dyn Fn() -> u64,
        orders: &mut dyn RecoveryOrders,
        limits: Limits,
    ) -> io::Result<Ended> {
        // A child whose answer would not be received must not continue.
        self.receive_all(progress, orders, limits).inspect_err(|_| self.kill())
    }

    fn receive_all(
        &mut self,
        progress: &dyn Fn() -> u64,
        orders: &mut dyn RecoveryOrders,
        limits: Limits,
    ) -> io::Result<Ended> {
        let mut last = (progress(), Instant::now());
        loop {
            let (message, log) = self.readable(limits.tick)?;
            if log {
                self.relay_log();
            }
            if message {
                match self.receive()? {
                    Received::Nothing | Received::Pruned => {}
                    Received::Outcome(outcome) => {
                        self.wait_for_pruning(&outcome);
                        return Ok(Ended::Answered(outcome));
                    }
                    Received::EndOfFile => {
                        let status = self.child.wait()?;
                        while self.readable(Duration::ZERO)?.1 && self.relay_log() {}
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
            if let Some(outcome) = self.outcome_without(hung, orders, limits) {
                self.kill();
                let left_behind = !self.ends_soon()?;
                let process = left_behind.then_some(self.child.id() as i32);
                return Ok(Ended::Hung(outcome, process));
            }
        }
    }

    /// In a call that hangs it ends when the file system is back.
    fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Whether it ends within a moment of being killed. If not, it hangs in the kernel.
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

    /// What to answer without the child, when the archive has hung for this time.
    fn outcome_without(
        &self,
        hung: Duration,
        orders: &mut dyn RecoveryOrders,
        limits: Limits,
    ) -> Option<Outcome> {
        let least = END_NOW.min(limits.question);
        if hung < least {
            return None;
        }
        let is_late = |limit: Duration| self.started.elapsed() >= limit + least;
        let why = match orders.look(&NoEvents) {
            Order::Stop(why) => return Some(Outcome::Stopped(why)),
            Order::EndNow { serve_again: false } => GiveUp::ArchiveUnavailable,
            Order::EndNow { serve_again: true } | Order::EndWhenAbsent
                if hung >= limits.question =>
            {
                GiveUp::ArchiveUnavailable
            }
            Order::Wait if limits.not_yet.is_some_and(is_late) => GiveUp::NotYet,
            _ => return None,
        };
        Some(Outcome::GaveUp(why))
    }

    /// Pruning follows the answer. A healthy archive needs a moment for it, and waiting for that keeps
    /// calls from overtaking each other.
    fn wait_for_pruning(&mut self, outcome: &Outcome) {
        let until = Instant::now() + PRUNING;
        // It may have arrived together with the answer.
        if matches!(self.parse(), Ok(Received::Pruned)) {
            return;
        }
        loop {
            let left = match outcome {
                Outcome::Restored => until.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            match self.readable(left) {
                Ok((_, true)) if self.relay_log() => {}
                // The socket is closed when the child ends.
                Ok((true, _)) => match self.receive() {
                    Ok(Received::Nothing | Received::Outcome(_)) => {}
                    Ok(Received::Pruned | Received::EndOfFile) | Err(_) => return,
                },
                _ => return,
            }
        }
    }

    /// Whether its messages and its log output can be read, after at most this time.
    fn readable(&self, at_most: Duration) -> io::Result<(bool, bool)> {
        let both = [self.messages.as_fd(), self.log.as_fd()];
        let mut fds = both.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let millis = at_most.as_nanos().div_ceil(1_000_000);
        match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let any = |fd: &PollFd| fd.any() == Some(true);
        Ok((any(&fds[0]), any(&fds[1])))
    }

    /// Copies its log output to the server's log; false at the end.
    fn relay_log(&mut self) -> bool {
        let mut text = [0; 4096];
        match self.log.read(&mut text) {
            Ok(n) if n > 0 => {
                let _ = io::stderr().write_all(&text[..n]);
                true
            }
            _ => false,
        }
    }

    fn receive(&mut self) -> io::Result<Received> {
        let mut text = [0; 4096];
        let n = self.messages.read(&mut text)?;
        if n == 0 {
            return Ok(Received::EndOfFile);
        }
        self.received.extend(&text[..n]);
        self.parse()
    }

    /// The next message in what was received that matters here.
    fn parse(&mut self) -> io::Result<Received> {
        while let Some(end) = self.received.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            match Message::parse(&String::from_utf8_lossy(&line[..end]))? {
                Message::Asking => self.asking_since = Some(Instant::now()),
                Message::Answered => self.asking_since = None,
                Message::Outcome(outcome) => return Ok(Received::Outcome(outcome)),
                Message::Pruned => return Ok(Received::Pruned),
            }
        }
        Ok(Received::Nothing)
    }
}

/// A clock of a process that watches nothing.
pub(super) struct NoEvents;

impl Clock for NoEvents {
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
