use std::thread;
use std::time::{Duration, Instant};

use super::conversation::Conversation;
use super::progress::HEARTBEAT;
use super::source::Source;
use super::{ArchiverFailure, BaseCopy, CopyError, Progress, TargetRole, Wait};
use crate::data_directory::{Role, running_server};
use crate::limits::Every;
use crate::retry::Retryable;
use crate::server::{FinishedBackup, Session};
use crate::wal::{SegmentLayout, SegmentName, TimelineHistory};

const POLL: Duration = Duration::from_millis(500);

/// Waits until all WAL that the copy requires is in the other node's archive. Fails if none arrives within
/// the time limit, or if the server stops.
pub(super) fn wait_for(
    copy: &BaseCopy,
    other: &mut Conversation<'_>,
    source: &Source,
    backup: &FinishedBackup,
) -> Result<(), CopyError> {
    let pgdata = &source.data_directory;
    let history = source.history(&copy.archive)?;
    let mut names = required(backup, source.layout, history.as_ref())?;
    let count = names.len();
    let mut last_arrival = Instant::now();
    let mut heartbeat = Every::new(HEARTBEAT);
    loop {
        let missing = other.missing(&names)?;
        let Some(first) = missing.first() else { break };
        let shipped = other.ship(&missing)?;
        if missing.len() < names.len() {
            last_arrival = Instant::now();
        }
        if source.role == Role::Primary && running_server(pgdata)?.is_none() {
            let (missing, first) = (missing.len(), first.clone());
            return Err(CopyError::Stopped { data_directory: pgdata.clone(), missing, first });
        }
        let is_over = last_arrival.elapsed() >= copy.wal_time_limit;
        if let Err(error) = shipped {
            if is_over || !error.is_retryable() {
                return Err(error.into());
            }
            log::warn!("{error}; retrying");
        }
        if is_over || heartbeat.is_due() {
            let failure = match copy.role {
                TargetRole::Standby => other.during(Wait::Answer, || archiver_failure(copy))?,
                TargetRole::DrNode => None,
            };
            if is_over {
                return Err(CopyError::NotArrived {
                    node: copy.reach.node.to_string(),
                    missing: missing.len(),
                    first: first.clone(),
                    limit: copy.wal_time_limit,
                    failure: failure.map(Box::new),
                    hint: hint(copy.role, source.role),
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

/// What to do if WAL does not arrive.
fn hint(target: TargetRole, source: Role) -> &'static str {
    match (target, source) {
        (_, Role::Standby) => {
            "the standby has streamed WAL that is not in its archive yet: run pg_switch_wal() on the primary (pg_switch_xlog() before 10)"
        }
        (TargetRole::DrNode, Role::Primary) => {
            "run rsyncDR on the standby, which has them unless archiving fails"
        }
        (TargetRole::Standby, Role::Primary) => {
            "see the messages of archiveWALFile in the server's log"
        }
    }
}

/// The names of all WAL files that the copy requires. With a history, each segment is the one of the timeline that it
/// belongs to: a standby may have followed a new timeline during the backup.
fn required(
    backup: &FinishedBackup,
    layout: SegmentLayout,
    history: Option<&TimelineHistory>,
) -> Result<Vec<String>, CopyError> {
    let (first, last) = (backup.first, backup.last);
    let wrong = || CopyError::Segments { first, last };
    let distance = layout.distance(first.place, last.place).map_err(|_| wrong())?;
    let more = usize::try_from(distance).map_err(|_| wrong())?;
    let all = std::iter::successors(Some(first), |name| layout.next(*name));
    let on_its_timeline = |name: SegmentName| {
        let timeline = history.and_then(|history| history.newest_with(name.place, layout));
        SegmentName { timeline: timeline.unwrap_or(name.timeline), ..name }
    };
    let segments = all.take(more + 1).map(|name| on_its_timeline(name).to_string());
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
    use crate::wal::{SegmentSize, TimelineId};

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
        let names = required(&backup(a, b), layout, None).unwrap();
        assert_eq!(names, [a, "0000000100000000000000FF", b]);
        assert_eq!(required(&backup(a, a), layout, None).unwrap(), [a]);
        assert!(required(&backup(b, a), layout, None).is_err());
        let history = "0000000100000000000000FE.00000020.backup";
        let old = FinishedBackup { history: history.parse().ok(), ..backup(a, a) };
        assert_eq!(required(&old, layout, None).unwrap(), [a, history]);
    }
    #[test]
    fn after_a_fork_the_segments_of_the_new_timeline_are_required() {
        let backup = FinishedBackup {
            label: Vec::new(),
            tablespace_map: Vec::new(),
            first: "000000010000000000000003".parse().unwrap(),
            last: "000000010000000000000006".parse().unwrap(),
            history: None,
        };
        let layout = SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT);
        let two = TimelineId::new(2).unwrap();
        let history = TimelineHistory::parse(two, b"1\t0/5000128\tno recovery target specified\n");
        let names = required(&backup, layout, Some(&history.unwrap())).unwrap();
        let expected = [(1, 3), (1, 4), (2, 5), (2, 6)];
        assert_eq!(names, expected.map(|(t, n)| format!("{t:08X}00000000{n:08X}")));
    }
}
