//! What a primary's shutdown gives archiveWALFile. The server waits for it: it runs while the shutdown
//! begins, and again for a last pass over all that is not archived, three times for each file.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use twowarm_core::data_directory::Postmaster;
use twowarm_core::durable;
use twowarm_core::node::Install;

/// A shutdown is held up by no more than this.
const BUDGET: Duration = Duration::from_secs(5);

/// How often the server's state is looked at.
const TICK: Duration = Duration::from_secs(1);

/// A far node that did not answer within the budget is not asked again for so long. Not longer: a smart
/// shutdown waits for its clients, which may go on writing WAL for hours.
const SILENCE: Duration = Duration::from_secs(30);

/// A failure that takes no longer than this does not use up the budget.
const QUICK: Duration = Duration::from_secs(1);

/// So long the work may take to notice that it is to stop.
const MOMENT: Duration = Duration::from_millis(200);

/// The server that calls, and whether it is being shut down.
pub(crate) struct ShutdownBudget {
    postmaster: Postmaster,
    /// Names the server in whose shutdown the far node did not answer; written when that was.
    memory: PathBuf,
    called: SystemTime,
}

/// Why some work has no result.
pub(crate) enum OutOfTime {
    /// It took longer than the budget.
    Now,
    /// The far node did not answer shortly before, in the same shutdown.
    Before,
    /// No thread could be started.
    NoThread(std::io::Error),
}

impl ShutdownBudget {
    pub fn new(install: &Install) -> ShutdownBudget {
        let pgdata = install.pgdata.clone().unwrap_or_default();
        ShutdownBudget {
            postmaster: Postmaster::of(&pgdata),
            memory: install.local_replication().join("unanswered_shutdown"),
            called: SystemTime::now(),
        }
    }

    /// Does some work that asks the far node, and gives it up when the server is being shut down and the
    /// budget is used up. The work should end soon once it is told to stop.
    pub fn spend<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<AtomicBool>) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, OutOfTime> {
        if self.was_unanswered() {
            return Err(OutOfTime::Before);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (done, is_done) = mpsc::channel();
        let told = Arc::clone(&stop);
        let beside = move || {
            let _ = done.send(work(told));
        };
        thread::Builder::new().spawn(beside).map_err(OutOfTime::NoThread)?;
        let mut deadline = None;
        loop {
            deadline = deadline.or_else(|| self.deadline());
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            match is_done.recv_timeout(left.unwrap_or(TICK).min(TICK)) {
                Ok(result) => {
                    if result.is_err() && self.spent().is_some_and(|spent| spent > QUICK) {
                        self.remember();
                    }
                    return Ok(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the work panicked"),
            }
            if deadline.is_some_and(|end| Instant::now() >= end) {
                self.remember();
                stop.store(true, Ordering::Relaxed);
                let _ = is_done.recv_timeout(MOMENT);
                return Err(OutOfTime::Now);
            }
        }
    }

    /// How much of the budget this call has used up; none while the server is not being shut down.
    fn spent(&self) -> Option<Duration> {
        let since = self.postmaster.stopping_since()?.max(self.called);
        Some(SystemTime::now().duration_since(since).unwrap_or(Duration::ZERO))
    }

    fn deadline(&self) -> Option<Instant> {
        self.spent().map(|spent| Instant::now() + BUDGET.saturating_sub(spent))
    }

    fn was_unanswered(&self) -> bool {
        let Ok(named) = fs::read_to_string(&self.memory) else { return false };
        let written = fs::metadata(&self.memory).and_then(|found| found.modified());
        // A clock that was set back says nothing.
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let counts = Some(named) == self.postmaster.identity()
            && age.is_some_and(|age| age < SILENCE)
            && self.postmaster.stopping_since().is_some();
        if !counts {
            let _ = durable::remove(&self.memory);
        }
        counts
    }

    /// What can't be written is not remembered: the next call then takes its own budget.
    fn remember(&self) {
        if let Some(identity) = self.postmaster.identity() {
            let _ = fs::write(&self.memory, identity);
        }
    }
}
