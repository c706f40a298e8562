//! Waiting until a triggered server is open.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::data_directory::{DirectoryContents, running_server};
use twowarm_core::server::{Login, ServerError, Session};
use twowarm_core::wal::ClusterState;

use crate::command::Failure;
use crate::patience::{HEARTBEAT, patiently};

const POLL: Duration = Duration::from_millis(100);

/// How the wait ended.
pub(crate) enum Ending {
    /// A write was committed.
    Open,
    /// By its files the server was promoted, but it could not be asked, for this reason.
    Unconfirmed(String),
    /// It could not be asked, for this reason, and by its files recovery has not ended.
    Unreachable(String),
}

/// Waits until the running server of a data directory commits a write, and says now and then what for. It
/// does so for as long as the server replays, but not for longer than `limit` while every try to ask it
/// fails.
pub(crate) fn wait_until_open(
    pgdata: &Path,
    login: &Login,
    limit: Duration,
) -> Result<Ending, Failure> {
    let mut last_said = Instant::now();
    let mut failing = Failing { limit, since: None };
    loop {
        if running_server(pgdata)?.is_none() {
            let text = "the server has stopped before it was open; its log says why. The trigger remains \
                        in force for its next start";
            return Err(Failure::Failed(text.into()));
        }
        let failure = match patiently("the server to answer", || try_write(pgdata, login)) {
            Ok(true) => return Ok(Ending::Open),
            Ok(false) => None,
            Err(error) if error.is_starting() => None,
            Err(error) => Some(error),
        };
        // What answers that it is in recovery may be another server.
        let is_promoted = is_promoted(pgdata);
        if failing.note(failure.is_some() || is_promoted, Instant::now()) {
            let why = told(failure.as_ref(), limit);
            return Ok(if is_promoted {
                Ending::Unconfirmed(why)
            } else {
                Ending::Unreachable(why)
            });
        }
        if last_said.elapsed() >= HEARTBEAT {
            last_said = Instant::now();
            match failure {
                Some(error) => log::info!("waiting for a connection ({error})"),
                None => log::info!("waiting for recovery to end"),
            }
        }
        thread::sleep(POLL);
    }
}

fn told(failure: Option<&ServerError>, limit: Duration) -> String {
    let seconds = limit.as_secs();
    match failure {
        Some(error) => {
            format!("every try to ask it failed for {seconds} s: {error}. HINT: {}", error.advice())
        }
        None => format!(
            "what answers is in recovery for {seconds} s. HINT: set PGPORT and PGHOST in local/environment.sh to where the server listens"
        ),
    }
}

/// Since when all tries have failed.
struct Failing {
    limit: Duration,
    since: Option<Instant>,
}

impl Failing {
    /// Notes a try; whether they have failed for too long.
    fn note(&mut self, failed: bool, now: Instant) -> bool {
        if !failed {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= self.limit
    }
}

/// Whether recovery has ended, by the server's files: what made it a standby is gone, and pg_control says
/// that it is in production.
fn is_promoted(pgdata: &Path) -> bool {
    DirectoryContents::read(pgdata).is_ok_and(|found| {
        let in_production = |control| matches!(control, ClusterState::InProduction);
        found.recovery.is_none()
            && found.control.and_then(|c| c.control).is_some_and(|c| in_production(c.state))
    })
}

/// Whether the server is a primary that commits.
fn try_write(pgdata: &Path, login: &Login) -> Result<bool, ServerError> {
    let mut session = Session::open(pgdata, login)?;
    if session.in_recovery()? {
        return Ok(false);
    }
    session.commit_a_write()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tries_that_fail_without_a_break_end_the_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing { limit: Duration::from_secs(30), since: None };
        assert!(!failing.note(true, at(0)) && !failing.note(true, at(29)));
        assert!(!failing.note(false, at(1000)), "it replays");
        assert!(!failing.note(true, at(1001)) && !failing.note(true, at(1030)));
        assert!(failing.note(true, at(1031)));
    }
}
