//! Waiting until a triggered server is open.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Backlog, HEARTBEAT, NotQueried, PromotionError, PromotionStep, WaitingFor, waiting};
use crate::data_directory::{DirectoryContents, running_server};
use crate::limits::Every;
use crate::server::{Login, ServerError, Session};
use crate::wal::ClusterState;

const POLL: Duration = Duration::from_millis(100);
/// The same in the first second, in which a server without a backlog opens.
const FIRST_POLL: Duration = Duration::from_millis(20);

/// Waits until the running server of a data directory commits a write. It waits as long as the server
/// replays, but no longer than `limit` while every attempt to query it fails.
pub(super) fn wait_until_open(
    data_directory: &Path,
    login: &Login,
    limit: Duration,
    backlog: &Backlog,
    report: &mut dyn FnMut(PromotionStep<'_>),
) -> Result<(), PromotionError> {
    let mut heartbeat = Every::new(HEARTBEAT);
    let mut failing = Failing { limit, since: None };
    let begun = Instant::now();
    loop {
        if running_server(data_directory)?.is_none() {
            return Err(PromotionError::Stopped);
        }
        let error = match waiting(WaitingFor::Server, report, || try_write(data_directory, login)) {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) if error.is_starting() => None,
            Err(error) => Some(error),
        };
        // If its files say otherwise, what answers that it is in recovery is another server.
        let is_promoted = is_promoted(data_directory);
        if failing.has_lasted(error.is_some() || is_promoted, Instant::now()) {
            let why = NotQueried { limit, error };
            return Err(if is_promoted {
                PromotionError::NotConfirmed(why)
            } else {
                PromotionError::NotQueried(why)
            });
        }
        if heartbeat.is_due() {
            let replay = || backlog.waiting(data_directory);
            let what = error.as_ref().map_or_else(replay, WaitingFor::Connection);
            report(PromotionStep::Waiting(what));
        }
        let is_first = begun.elapsed() < Duration::from_secs(1);
        thread::sleep(if is_first { FIRST_POLL } else { POLL });
    }
}

/// Since when all attempts have failed.
struct Failing {
    limit: Duration,
    since: Option<Instant>,
}

impl Failing {
    /// Records an attempt; whether they have failed for the whole time limit.
    fn has_lasted(&mut self, failed: bool, now: Instant) -> bool {
        if !failed {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= self.limit
    }
}

/// Whether recovery has ended, according to the server's files: the one that made it a standby is gone, and
/// pg_control says "in production".
fn is_promoted(data_directory: &Path) -> bool {
    DirectoryContents::read(data_directory).is_ok_and(|found| {
        let state = found.control.and_then(|cluster| cluster.control).map(|control| control.state);
        found.recovery.is_none() && state == Some(ClusterState::InProduction)
    })
}

/// Whether the server is a primary that commits.
fn try_write(data_directory: &Path, login: &Login) -> Result<bool, ServerError> {
    let mut session = Session::open(data_directory, login)?;
    if session.in_recovery()? {
        return Ok(false);
    }
    session.commit_a_write()?;
    Ok(true)
}

/// Ends the first segment of the new timeline, so that it is shipped: other nodes need it to follow, and a server with
/// little traffic does not fill it soon.
pub(super) fn end_first_segment(data_directory: &Path, login: &Login) {
    let switched = Session::open(data_directory, login).and_then(|mut session| {
        let switch = session.major().switch_wal();
        session.rows(switch)
    });
    if let Err(error) = switched {
        log::warn!("could not end the first segment of the new timeline: {error}");
    }
}

/// Reports the last transaction that was replayed, if the server knows it: it has replayed one since it was started.
pub(super) fn report_last_transaction(
    data_directory: &Path,
    login: &Login,
    report: &mut dyn FnMut(PromotionStep<'_>),
) {
    let asked = Session::open(data_directory, login).and_then(|mut session| {
        session.major().last_replayed_transaction().map(|sql| session.row(sql)).transpose()
    });
    match asked {
        Ok(Some(row)) => {
            let [committed, age] = row.as_slice() else { return };
            let Ok(age) = Duration::try_from_secs_f64(age.parse().unwrap_or(-1.0)) else { return };
            report(PromotionStep::LastTransaction { committed, age });
        }
        Ok(None) => {}
        Err(error) => log::warn!("could not ask for the last replayed transaction: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attempts_that_fail_without_interruption_end_the_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing { limit: Duration::from_secs(30), since: None };
        assert!(!failing.has_lasted(true, at(0)) && !failing.has_lasted(true, at(29)));
        assert!(!failing.has_lasted(false, at(1000)), "it replays");
        assert!(!failing.has_lasted(true, at(1001)) && !failing.has_lasted(true, at(1030)));
        assert!(failing.has_lasted(true, at(1031)));
    }
}
