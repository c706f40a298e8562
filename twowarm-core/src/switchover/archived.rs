//! Waiting until the server has archived its WAL.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::FlushError;
use crate::base_copy::ArchiverFailure;
use crate::data_directory::running_server;
use crate::file_error::{FileError, if_exists};
use crate::server::Session;
use crate::wal::WalFileName;

const POLL: Duration = Duration::from_millis(10);

/// The files that a server has still to archive, in order.
pub(super) fn ready(wal: &Path) -> Result<Vec<WalFileName>, FileError> {
    let status = wal.join("archive_status");
    let failed = || FileError::of::<std::io::Error>("list", &status);
    let mut names = Vec::new();
    // Servers before 8.3 have no archiver, and create it when it is needed.
    let Some(entries) = if_exists(fs::read_dir(&status)).map_err(failed())? else {
        return Ok(names);
    };
    for entry in entries {
        let name = entry.map_err(failed())?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".ready"));
        let name = name.and_then(|name| name.parse::<WalFileName>().ok());
        names.extend(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Waits until all files up to `last` are archived, or all if it is `None`. Fails if none is archived for `limit`.
pub(super) fn wait(
    session: &mut Session,
    data_directory: &Path,
    last: Option<WalFileName>,
    limit: Duration,
    report: &mut dyn FnMut(usize, WalFileName),
) -> Result<(), FlushError> {
    let wal = data_directory.join(session.major().wal_directory());
    let (mut count, mut progress) = (usize::MAX, Instant::now());
    loop {
        let mut names = ready(&wal)?;
        names.retain(|name| last.is_none_or(|last| *name <= last));
        let Some(&first) = names.first() else { return Ok(()) };
        if names.len() < count {
            progress = Instant::now();
        }
        count = names.len();
        if running_server(data_directory)?.is_none() {
            return Err(FlushError::Stopped);
        }
        if progress.elapsed() >= limit {
            let failure = archiver_failure(session).map(Box::new);
            return Err(FlushError::NotArchived { count, first, limit, failure });
        }
        report(count, first);
        thread::sleep(POLL);
    }
}

fn archiver_failure(session: &mut Session) -> Option<ArchiverFailure> {
    let rows = session.rows(session.major().archiver_failure()?).ok()?;
    let [file, time, count] = <[String; 3]>::try_from(rows.into_iter().next()?).ok()?;
    Some(ArchiverFailure { file, time, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_ready_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ready(dir.path()).unwrap(), []);
        let status = dir.path().join("archive_status");
        fs::create_dir(&status).unwrap();
        let names = ["000000010000000000000002", "000000010000000000000001", "00000002.history"];
        for name in names {
            fs::write(status.join(format!("{name}.ready")), "").unwrap();
        }
        for other in ["000000010000000000000003.done", "x.ready", "000000010000000000000004"] {
            fs::write(status.join(other), "").unwrap();
        }
        let found: Vec<_> = ready(dir.path()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, [names[1], names[0], names[2]]);
    }
}
