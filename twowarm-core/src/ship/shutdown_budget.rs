use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::data_directory::Postmaster;
use crate::durable;
use crate::limits::{Closed, receive};

/// The longest time by which shipping may delay a shutdown.
const BUDGET: Duration = Duration::from_secs(5);

/// The part of it for the first of two nodes.
const FIRST_OF_TWO: Duration = Duration::from_secs(2);

/// How often the server's state is checked.
const TICK: Duration = Duration::from_secs(1);

/// For this long after a shutdown used up its budget, its further calls fail at once. Not longer: a smart
/// shutdown waits for its clients, which may write WAL for hours.
const SILENCE: Duration = Duration::from_secs(30);

/// A failure that took less of the budget than this does not use it up.
const QUICK: Duration = Duration::from_secs(1);

/// The time in which work that was told to stop should end.
const STOP_LIMIT: Duration = Duration::from_millis(200);

/// Limits how long an archive_command delays the shutdown of its server to 5 s.
///
/// The server waits for its archive_command: for the one that is running when the shutdown begins, and
/// afterwards for every file that is not archived yet, three times each.
#[derive(Debug)]
pub struct ShutdownBudget {
    postmaster: Postmaster,
    unanswered: PathBuf,
    called: SystemTime,
    limit: Duration,
}

/// Why shipping was given up during a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfTime {
    /// The budget is used up.
    #[error("did not acknowledge it in time")]
    Now,
    /// An earlier call in the same shutdown has used it up.
    #[error("has not answered since the shutdown began")]
    Before,
}

/// Why some work has no result.
pub(super) enum Unfinished {
    OutOfTime(OutOfTime),
    /// No thread could be started.
    Thread(std::io::Error),
}

enum Report<P, T> {
    Progress(P),
    Done(T),
}

impl ShutdownBudget {
    /// A budget for the server that has called this process. `unanswered` is a file in which the calls of
    /// one shutdown note that the budget is used up.
    #[must_use]
    pub fn new(postmaster: Postmaster, unanswered: PathBuf) -> ShutdownBudget {
        ShutdownBudget { postmaster, unanswered, called: SystemTime::now(), limit: BUDGET }
    }

    /// The same for the first of two nodes that are tried one after the other: it may use 2 s, so that the rest is left
    /// for the other one.
    #[must_use]
    pub fn first_of_two(self) -> ShutdownBudget {
        ShutdownBudget { limit: FIRST_OF_TWO, ..self }
    }

    /// Does some work on another thread and passes its progress on. Gives it up when the server is shutting
    /// down and the budget is used up; the work should end soon after the flag is set.
    pub(super) fn spend<P: Send + 'static, T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<AtomicBool>, &mut dyn FnMut(P)) -> Result<T, E> + Send + 'static,
        progress: &mut dyn FnMut(P),
    ) -> Result<Result<T, E>, Unfinished> {
        if self.is_used_up() {
            return Err(Unfinished::OutOfTime(OutOfTime::Before));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, reports) = mpsc::channel();
        let flag = Arc::clone(&stop);
        let run = move || {
            let result = work(flag, &mut |step| {
                let _ = sender.send(Report::Progress(step));
            });
            let _ = sender.send(Report::Done(result));
        };
        thread::Builder::new().spawn(run).map_err(Unfinished::Thread)?;
        let mut deadline = None;
        loop {
            deadline = deadline.or_else(|| self.deadline());
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            match receive(&reports, left.unwrap_or(TICK).min(TICK)) {
                Ok(Some(Report::Progress(step))) => progress(step),
                Ok(Some(Report::Done(result))) => {
                    if result.is_err() && self.spent().is_some_and(|spent| spent > QUICK) {
                        self.note_used_up();
                    }
                    return Ok(result);
                }
                Ok(None) => {}
                Err(Closed) => panic!("shipping panicked"),
            }
            if deadline.is_some_and(|end| Instant::now() >= end) {
                self.note_used_up();
                stop.store(true, Ordering::Relaxed);
                let end = Instant::now() + STOP_LIMIT;
                let left = || end.saturating_duration_since(Instant::now());
                while let Ok(Some(Report::Progress(step))) = receive(&reports, left()) {
                    progress(step);
                }
                return Err(Unfinished::OutOfTime(OutOfTime::Now));
            }
        }
    }

    /// How much of the budget this call has used; none while the server is not shutting down.
    fn spent(&self) -> Option<Duration> {
        let since = self.postmaster.stopping_since()?.max(self.called);
        Some(SystemTime::now().duration_since(since).unwrap_or(Duration::ZERO))
    }

    /// Whether the server is gone, or is shutting down and the budget is used up.
    pub(super) fn is_over(&self) -> bool {
        self.postmaster.is_gone() || self.spent().is_some_and(|spent| spent >= BUDGET)
    }

    fn deadline(&self) -> Option<Instant> {
        self.spent().map(|spent| Instant::now() + self.limit.saturating_sub(spent))
    }

    fn is_used_up(&self) -> bool {
        let Ok(noted) = fs::read_to_string(&self.unanswered) else { return false };
        let written = fs::metadata(&self.unanswered).and_then(|found| found.modified());
        // A time in the future, after the clock was set back, is ignored.
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let used_up = Some(noted) == self.postmaster.identity()
            && age.is_some_and(|age| age < SILENCE)
            && self.postmaster.stopping_since().is_some();
        if !used_up {
            let _ = durable::remove(&self.unanswered);
        }
        used_up
    }

    /// If the file can't be written, the next call starts with a full budget.
    fn note_used_up(&self) {
        if let Some(identity) = self.postmaster.identity() {
            let _ = fs::write(&self.unanswered, identity);
        }
    }
}
