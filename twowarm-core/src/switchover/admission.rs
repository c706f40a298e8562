//! Whether the server lets new sessions in, for a flush.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::FlushError;
use crate::server::{
    Login, ServerError, Session, are_kept_out, keep_sessions_out, let_sessions_in,
};

const POLL: Duration = Duration::from_millis(10);

/// Sessions are not let in until this is dropped.
pub(super) struct Closed<'a> {
    data_directory: &'a Path,
    local_replication: &'a Path,
    is_kept: bool,
}

impl Closed<'_> {
    /// Sessions are kept out further on: a server that is stopped and started again must not write anything as long as
    /// its receipt is valid.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = let_sessions_in(self.data_directory, self.local_replication) {
            log::error!("{error}. Sessions are still rejected. HINT: run flushPrimary --undo");
        }
    }
}

/// Opens this command's own session. An interrupted flush may have left the server so that it lets none in.
pub(super) fn own_session(
    login: &Login,
    data_directory: &Path,
    local_replication: &Path,
) -> Result<Session, FlushError> {
    let was_closed = are_kept_out(local_replication);
    let_sessions_in(data_directory, local_replication)?;
    let begun = Instant::now();
    loop {
        match Session::open(data_directory, login) {
            Err(error)
                if was_closed && error.is_rejected() && begun.elapsed() < login.time_limit =>
            {
                std::thread::sleep(POLL);
            }
            opened => return Ok(opened?),
        }
    }
}

/// Makes the server reject new sessions, and waits until it does.
pub(super) fn close<'a>(
    session: &mut Session,
    login: &Login,
    data_directory: &'a Path,
    local_replication: &'a Path,
) -> Result<Closed<'a>, FlushError> {
    let file = PathBuf::from(session.setting("hba_file")?);
    let closed = Closed { data_directory, local_replication, is_kept: false };
    keep_sessions_out(&file, data_directory, local_replication)?;
    let begun = Instant::now();
    loop {
        let last = match Session::open(data_directory, login) {
            Err(error) if error.is_rejected() => return Ok(closed),
            Err(error @ ServerError::NotRunning(_)) => return Err(error.into()),
            Err(error) => Some(error),
            Ok(_) => None,
        };
        if begun.elapsed() >= login.time_limit {
            return Err(FlushError::NotClosed { file, limit: login.time_limit, last });
        }
        std::thread::sleep(POLL);
    }
}
