use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::error::SqlState;

use super::label_files::{self, Found};
use super::{FinishedBackup, Login, ServerError, Session};
use crate::data_directory::running_server;
use crate::file_error::FileError;
use crate::wal::{BackupHistory, BackupLabel, Lsn, SegmentLayout, WalFileName};

/// The time limit for ending a backup that failed. It does not wait for the archiver.
const ABORT_LIMIT: Duration = Duration::from_secs(2);

/// An online backup of a server before 9.6. It belongs to the server, and continues until any session calls
/// `pg_stop_backup`, or the server stops. It is ended when this is dropped.
///
/// `pg_start_backup` writes backup_label (in 9.5 also tablespace_map) into the data directory. A server that
/// finds it after a crash starts from the backup's first segment, and does not start at all if that segment is
/// already recycled. Therefore both files are renamed, and have their own names only while `pg_start_backup` and
/// `pg_stop_backup` run.
pub struct ExclusiveBackup {
    session: Session,
    pgdata: PathBuf,
    login: Login,
    name: String,
    start: Lsn,
    label: Vec<u8>,
    tablespace_map: Vec<u8>,
    is_over: bool,
}

impl ExclusiveBackup {
    /// Ends a backup that an interrupted run left, then starts one; returns after its checkpoint. `name` is the
    /// label, a plain word, by which our backups are recognized.
    ///
    /// # Errors
    /// If another backup is running, or the server refuses.
    pub fn start(
        mut session: Session,
        pgdata: &Path,
        login: &Login,
        name: &str,
    ) -> Result<ExclusiveBackup, ServerError> {
        // A checkpoint may take longer than the role's setting.
        session.rows("set statement_timeout = 0")?;
        label_files::forget_earlier_server(pgdata)?;
        if let Found::Ours = label_files::look(pgdata, name)? {
            log::info!("ending the online backup that an interrupted base copy left running");
            end(&mut session, pgdata, name)?;
        }
        if session.major().spreads_backup_checkpoint() {
            // After an immediate checkpoint the spread one has few pages to write, and pauses after each.
            session.row_without_limit("checkpoint; select 'done'")?;
        }
        let (pgdata, login, name) = (pgdata.to_owned(), login.clone(), name.to_owned());
        let (label, tablespace_map) = (Vec::new(), Vec::new());
        let start = Lsn::INVALID;
        let mut backup = ExclusiveBackup {
            session,
            pgdata,
            login,
            name,
            start,
            label,
            tablespace_map,
            is_over: false,
        };
        backup.begin()?;
        Ok(backup)
    }

    fn begin(&mut self) -> Result<(), ServerError> {
        let question = self.session.major().exclusive_backup_start(&self.name);
        let started = match self.session.row_without_limit(&question) {
            Err(error) if is_in_progress(&error) => {
                // Only our file shows that twowarm started the backup.
                if !end(&mut self.session, &self.pgdata, &self.name)? {
                    return Err(ServerError::UnknownBackup(self.pgdata.clone()));
                }
                log::info!("ended the online backup that an interrupted base copy left running");
                self.session.row_without_limit(&question)
            }
            other => other,
        };
        let start = started?.into_iter().next().ok_or(ServerError::UnexpectedResult(question))?;
        self.start = start.parse()?;
        (self.label, self.tablespace_map) = label_files::keep(&self.pgdata)?;
        let label = BackupLabel::parse(&self.label)?;
        if label.start_lsn() != self.start {
            return Err(ServerError::BackupLost);
        }
        Ok(())
    }

    /// The start position.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.start
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the backup. From 8.4 on the server waits for its archiver; after the login's time limit this wait is
    /// canceled, and the caller has to wait.
    ///
    /// # Errors
    /// If the server refuses, or the backup was ended by another session.
    pub fn stop(mut self, layout: SegmentLayout) -> Result<FinishedBackup, ServerError> {
        self.check_is_running()?;
        label_files::put_back(&self.pgdata, &self.name)?;
        let limit = self.login.time_limit;
        let stopped = stop(&mut self.session, &self.pgdata, limit, Session::row_without_limit);
        if stopped.as_ref().is_err_and(has_ended) {
            self.is_over = true;
            label_files::remove_ours(&self.pgdata, &self.name)?;
            return Err(ServerError::BackupLost);
        }
        let stop = stopped?;
        label_files::forget(&self.pgdata)?;
        self.is_over = true;

        let first = BackupLabel::parse(&self.label)?.start_segment();
        let offset = (self.start.0 % layout.size().bytes()) as u32;
        let history = WalFileName::Backup(first, offset);
        let stop = match stop {
            Some(stop) => stop,
            None => self.stop_in(history)?,
        };
        let needs_history = !self.session.major().has_backup_end_in_wal();
        Ok(FinishedBackup {
            first,
            last: layout.ending_at(first.timeline, stop).unwrap_or(first),
            history: needs_history.then_some(history),
            label: std::mem::take(&mut self.label),
            tablespace_map: std::mem::take(&mut self.tablespace_map),
        })
    }

    /// Any session's `pg_stop_backup` ends the backup, and pages that are copied afterwards may be torn. While a
    /// backup is running, the server refuses to start another one, before it does anything else.
    fn check_is_running(&mut self) -> Result<(), ServerError> {
        let question = self.session.major().exclusive_backup_start(&self.name);
        match self.session.row_without_limit(&question) {
            Err(error) if is_in_progress(&error) => Ok(()),
            Err(error) => Err(error),
            // Another backup of twowarm is running now. It is ended when this value is dropped.
            Ok(_) => Err(ServerError::BackupLost),
        }
    }

    /// The end position, from the backup history file.
    fn stop_in(&self, history: WalFileName) -> Result<Lsn, ServerError> {
        let wal = self.pgdata.join(self.session.major().wal_directory());
        let path = wal.join(history.to_string());
        let text = fs::read(&path).map_err(FileError::of("read", &path))?;
        Ok(BackupHistory::parse(&text)?.stop_lsn())
    }
}

impl Drop for ExclusiveBackup {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(error) = self.abort()
        {
            log::warn!(
                "could not end the online backup: {error}. HINT: the next base copy ends it, and so does a restart of the server"
            );
        }
    }
}

impl ExclusiveBackup {
    fn abort(&mut self) -> Result<(), ServerError> {
        if running_server(&self.pgdata)?.is_none() {
            // The backup ended with the server. The next one must not find its label.
            return label_files::remove_ours(&self.pgdata, &self.name);
        }
        log::info!("ending the online backup");
        if self.session.rows("select 1").is_err() {
            self.session = Session::open(&self.pgdata, &self.login)?;
        }
        end(&mut self.session, &self.pgdata, &self.name).map(drop)
    }
}

/// Ends a running backup that twowarm started, even in another process; false if no file shows one.
fn end(session: &mut Session, pgdata: &Path, name: &str) -> Result<bool, ServerError> {
    match label_files::look(pgdata, name)? {
        Found::Ours => {}
        Found::Nothing if label_files::is_kept(pgdata) => label_files::put_back(pgdata, name)?,
        Found::Nothing => return Ok(false),
    }
    // So that this ends before the session's own limit does.
    let limit = ABORT_LIMIT.min(session.time_limit() / 2);
    stop(session, pgdata, limit, Session::row)?;
    label_files::forget(pgdata)?;
    Ok(true)
}

type Ask = fn(&mut Session, &str) -> Result<Vec<String>, ServerError>;

/// Calls `pg_stop_backup`, which reads backup_label and removes it before it waits for the archiver. After `limit`
/// the wait is canceled, and the result is None instead of the end position.
fn stop(
    session: &mut Session,
    pgdata: &Path,
    limit: Duration,
    ask: Ask,
) -> Result<Option<Lsn>, ServerError> {
    session.rows(&format!("set statement_timeout = {}", limit.as_millis().max(1)))?;
    let question = session.major().exclusive_backup_stop();
    let answer = ask(session, question);
    let _ = session.rows("set statement_timeout = 0");
    match answer {
        Ok(row) => {
            let stop =
                row.into_iter().next().ok_or(ServerError::UnexpectedResult(question.to_owned()))?;
            Ok(Some(stop.parse()?))
        }
        Err(error) => {
            let is_done = !label_files::is_in_place(pgdata);
            if is_done && has_code(&error, &SqlState::QUERY_CANCELED) {
                return Ok(None);
            }
            if !is_done {
                label_files::keep(pgdata)?;
            }
            Err(error)
        }
    }
}

/// Whether `pg_stop_backup` failed because no backup is in progress. After a failed call of another session
/// 9.6beta4 says so, although it refuses to start a backup too.
fn has_ended(error: &ServerError) -> bool {
    has_code(error, &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
}

/// Whether `pg_start_backup` failed because a backup is in progress.
fn is_in_progress(error: &ServerError) -> bool {
    // The code is also used if WAL archiving is off; then our label does not exist either.
    has_code(error, &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
}

fn has_code(error: &ServerError, code: &SqlState) -> bool {
    matches!(error, ServerError::Query { error, .. } if error.code() == Some(code))
}
