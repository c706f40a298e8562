use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::data_directory::running_server;
use twowarm_core::server::FinishedBackup;
use twowarm_core::wal::SegmentLayout;

use super::error::CopyError;
use super::far::FarEnd;
use crate::patience::HEARTBEAT;

const POLL: Duration = Duration::from_millis(500);

/// The names of all files that the copy can't do without.
pub(super) fn needed(
    backup: &FinishedBackup,
    layout: SegmentLayout,
) -> Result<Vec<String>, CopyError> {
    let wrong = || CopyError::Segments(backup.last.to_string(), backup.first.to_string());
    let distance = layout.distance(backup.first.place, backup.last.place).map_err(|_| wrong())?;
    let more = usize::try_from(distance).map_err(|_| wrong())?;
    let all = std::iter::successors(Some(backup.first), |name| layout.next(*name));
    let segments = all.take(more + 1).map(|name| name.to_string());
    Ok(segments.chain(backup.history.map(|name| name.to_string())).collect())
}

/// Waits until all of them stand in the far archive; gives up when none has arrived for `patience`, or
/// when the server in `pgdata` runs no more.
pub(super) fn wait_for(
    far: &mut FarEnd,
    node: &str,
    pgdata: &Path,
    mut names: Vec<String>,
    patience: Duration,
) -> Result<(), CopyError> {
    let mut last_arrival = Instant::now();
    let mut last_said = Instant::now();
    loop {
        let missing = far.missing(&names)?;
        let Some(first) = missing.first() else { return Ok(()) };
        if missing.len() < names.len() {
            last_arrival = Instant::now();
        }
        if running_server(pgdata)?.is_none() {
            let (missing, first) = (missing.len(), first.clone());
            return Err(CopyError::Stopped { pgdata: pgdata.into(), missing, first });
        }
        if last_arrival.elapsed() >= patience {
            let (missing, first) = (missing.len(), first.clone());
            let waited = patience.as_secs();
            return Err(CopyError::NotArrived { node: node.into(), missing, first, waited });
        }
        if last_said.elapsed() >= HEARTBEAT {
            last_said = Instant::now();
            log::info!(
                "waiting for {} WAL files to arrive in {node}'s archive, {first} the first",
                missing.len()
            );
        }
        names = missing;
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twowarm_core::wal::SegmentSize;

    #[test]
    fn all_from_the_first_to_the_last() {
        let backup = |first: &str, last: &str| FinishedBackup {
            label: Vec::new(),
            tablespace_map: Vec::new(),
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            history: None,
        };
        let layout = SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT);
        let (a, b) = ("0000000100000000000000FE", "000000010000000100000000");
        let names = needed(&backup(a, b), layout).unwrap();
        assert_eq!(names, [a, "0000000100000000000000FF", b]);
        assert_eq!(needed(&backup(a, a), layout).unwrap(), [a]);
        assert!(needed(&backup(b, a), layout).is_err());
        let history = "0000000100000000000000FE.00000020.backup";
        let old = FinishedBackup { history: history.parse().ok(), ..backup(a, a) };
        assert_eq!(needed(&old, layout).unwrap(), [a, history]);
    }
}
