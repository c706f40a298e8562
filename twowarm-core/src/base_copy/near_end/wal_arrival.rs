use std::thread;
use std::time::{Duration, Instant};

use super::conversation::Conversation;
use super::primary::Primary;
use super::progress::HEARTBEAT;
use super::{ArchiverFailure, BaseCopy, CopyError, Progress, Wait};
use crate::data_directory::running_server;
use crate::limits::Every;
use crate::server::{FinishedBackup, Session};
use crate::wal::SegmentLayout;

const POLL: Duration = Duration::from_millis(500);

/// Waits until all WAL that the copy requires is in the other node's archive. Fails if none arrives within
/// the time limit, or if the server stops.
pub(super) fn wait_for(
    copy: &BaseCopy,
    other: &mut Conversation<'_>,
    primary: &Primary,
    backup: &FinishedBackup,
) -> Result<(), CopyError> {
    let pgdata = &primary.data_directory;
    let mut names = required(backup, primary.layout)?;
    let count = names.len();
    let mut last_arrival = Instant::now();
    let mut heartbeat = Every::new(HEARTBEAT);
    loop {
        let missing = other.missing(&names)?;
        let Some(first) = missing.first() else { break };
        if missing.len() < names.len() {
            last_arrival = Instant::now();
        }
        if running_server(pgdata)?.is_none() {
            let (missing, first) = (missing.len(), first.clone());
            return Err(CopyError::Stopped { data_directory: pgdata.clone(), missing, first });
        }
        let is_over = last_arrival.elapsed() >= copy.wal_time_limit;
        if is_over || heartbeat.is_due() {
            let failure = other.during(Wait::Answer, || archiver_failure(copy))?;
            if is_over {
                return Err(CopyError::NotArrived {
                    node: copy.reach.node.to_string(),
                    missing: missing.len(),
                    first: first.clone(),
                    limit: copy.wal_time_limit,
                    failure: failure.map(Box::new),
                });
            }
            let (missing, failure) = (missing.len(), failure.as_ref());
            other.report(Progress::WaitingForWal { missing, first, failure });
        }
        names = missing;
        thread::sleep(POLL);
    }
    other.report(Progress::WalArrived(count));
    Ok(())
}

/// The names of all WAL files that the copy requires.
fn required(backup: &FinishedBackup, layout: SegmentLayout) -> Result<Vec<String>, CopyError> {
    let (first, last) = (backup.first, backup.last);
    let wrong = || CopyError::Segments { first, last };
    let distance = layout.distance(first.place, last.place).map_err(|_| wrong())?;
    let more = usize::try_from(distance).map_err(|_| wrong())?;
    let all = std::iter::successors(Some(first), |name| layout.next(*name));
    let segments = all.take(more + 1).map(|name| name.to_string());
    Ok(segments.chain(backup.history.map(|name| name.to_string())).collect())
}

/// Why archiving fails. A server that can't be asked is not an error: the wait has its own limit. The session ends
/// at once, so that a smart shutdown does not wait for it.
fn archiver_failure(copy: &BaseCopy) -> Option<ArchiverFailure> {
    let mut session = Session::open(&copy.local_node.data_directory, &copy.login).ok()?;
    let rows = session.rows(session.major().archiver_failure()?);
    let row = rows.ok()?.into_iter().next()?;
    let [file, time, count] = <[String; 3]>::try_from(row).ok()?;
    Some(ArchiverFailure { file, time, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::SegmentSize;

    #[test]
    fn all_segments_from_the_first_to_the_last_are_required() {
        let backup = |first: &str, last: &str| FinishedBackup {
            label: Vec::new(),
            tablespace_map: Vec::new(),
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            history: None,
        };
        let layout = SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT);
        let (a, b) = ("0000000100000000000000FE", "000000010000000100000000");
        let names = required(&backup(a, b), layout).unwrap();
        assert_eq!(names, [a, "0000000100000000000000FF", b]);
        assert_eq!(required(&backup(a, a), layout).unwrap(), [a]);
        assert!(required(&backup(b, a), layout).is_err());
        let history = "0000000100000000000000FE.00000020.backup";
        let old = FinishedBackup { history: history.parse().ok(), ..backup(a, a) };
        assert_eq!(required(&old, layout).unwrap(), [a, history]);
    }
}
