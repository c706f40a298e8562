use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::error::SqlState;

use super::label_files::{self, Found};
use super::{FinishedBackup, Login, ServerError, Session};
use crate::data_directory::running_server;
use crate::file_error::FileError;
use crate::wal::{BackupHistory, BackupLabel, Lsn, SegmentLayout, WalFileName};

/// What ending a backup on the way out may take: it then does not wait for the archiver.
const ON_THE_WAY_OUT: Duration = Duration::from_secs(2);

/// An online backup of a server before 9.6. It is not the session's: it goes on until `pg_stop_backup`
/// is called, by any session, or the server is stopped. When this is dropped the backup is ended.
///
/// `pg_start_backup` writes backup_label (and tablespace_map, 9.5) into the data directory. A server that
/// finds it there after a crash starts from the backup's first segment, and does not start at all if that
/// segment is recycled already. Therefore both files are kept under names of ours, which no server reads,
/// and have their own names only while `pg_start_backup` and `pg_stop_backup` run.
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
    /// Ends what a killed run left, then starts a backup; returns after its checkpoint. `name` is its
    /// label, a plain word, by which ours are told from others'.
    pub fn start(
        mut session: Session,
        pgdata: &Path,
        login: &Login,
        name: &str,
    ) -> Result<ExclusiveBackup, ServerError> {
        // Whatever the role's setting is: a checkpoint takes its time.
        session.rows("set statement_timeout = 0")?;
        if let Found::Ours = label_files::look(pgdata, name)? {
            log::info!("ending the online backup that an interrupted copyToStandby left running");
            end(&mut session, pgdata, name)?;
        }
        if session.major().spreads_backup_checkpoint() {
            // It then finds few pages to write, and it pauses after each of them.
            session.slow_row("checkpoint; select 'done'")?;
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
        let started = match self.session.slow_row(&question) {
            Err(error) if is_in_progress(&error) => {
                // Only our own files tell whose it is.
                if !end(&mut self.session, &self.pgdata, &self.name)? {
                    return Err(ServerError::UnknownBackup(self.pgdata.clone()));
                }
                log::info!(
                    "ended the online backup that an interrupted copyToStandby left running"
                );
                self.session.slow_row(&question)
            }
            other => other,
        };
        let start = started?.into_iter().next().ok_or(ServerError::NoAnswer(question))?;
        self.start = start.parse()?;
        (self.label, self.tablespace_map) = label_files::keep(&self.pgdata)?;
        let label = BackupLabel::parse(&self.label)?;
        if label.start_lsn() != self.start {
            return Err(ServerError::BackupLost);
        }
        Ok(())
    }

    /// Where it starts.
    pub fn start_lsn(&self) -> Lsn {
        self.start
    }

    /// Its session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends it. From 8.4 on the server waits for its archiver meanwhile; after a time limit this does so
    /// no longer, which the caller then has to.
    pub fn stop(mut self, layout: SegmentLayout) -> Result<FinishedBackup, ServerError> {
        self.check_is_running()?;
        label_files::put_back(&self.pgdata, &self.name)?;
        let limit = self.login.time_limit;
        let stop = stop(&mut self.session, &self.pgdata, limit, Session::slow_row)?;
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

    /// Anybody's `pg_stop_backup` ends it, and then pages that were copied afterwards may be torn. The
    /// server refuses a second start before it does anything as long as the first is in force.
    fn check_is_running(&mut self) -> Result<(), ServerError> {
        let question = self.session.major().exclusive_backup_start(&self.name);
        match self.session.slow_row(&question) {
            Err(error) if is_in_progress(&error) => Ok(()),
            Err(error) => Err(error),
            // Now another one of ours is running, and dropping this ends it.
            Ok(_) => Err(ServerError::BackupLost),
        }
    }

    /// The end of the backup, from the file that the server writes about it.
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
            && let Err(error) = self.end_on_the_way_out()
        {
            log::warn!(
                "the online backup could not be ended ({error}): the next copyToStandby ends it, and so does a restart of the server"
            );
        }
    }
}

impl ExclusiveBackup {
    fn end_on_the_way_out(&mut self) -> Result<(), ServerError> {
        if running_server(&self.pgdata)?.is_none() {
            // The backup ended with the server, and its label is not to be found by the next one.
            return label_files::remove_ours(&self.pgdata, &self.name);
        }
        log::info!("ending the online backup");
        if self.session.rows("select 1").is_err() {
            self.session = Session::open(&self.pgdata, &self.login)?;
        }
        end(&mut self.session, &self.pgdata, &self.name).map(drop)
    }
}

/// Ends a backup of ours that is running, whoever started it; false if there is none by the files.
fn end(session: &mut Session, pgdata: &Path, name: &str) -> Result<bool, ServerError> {
    match label_files::look(pgdata, name)? {
        Found::Ours => {}
        Found::Nothing if label_files::is_kept(pgdata) => label_files::put_back(pgdata, name)?,
        Found::Nothing => return Ok(false),
    }
    // Also where the server hangs this comes to an end.
    let limit = ON_THE_WAY_OUT.min(session.time_limit() / 2);
    stop(session, pgdata, limit, Session::row)?;
    label_files::forget(pgdata)?;
    Ok(true)
}

type Ask = fn(&mut Session, &str) -> Result<Vec<String>, ServerError>;

/// `pg_stop_backup`, which reads backup_label and removes it before it waits for the archiver. The wait
/// is given up after `limit`; the answer, the end of the backup, is then none.
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
            let stop = row.into_iter().next().ok_or(ServerError::NoAnswer(question.to_owned()))?;
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

fn is_in_progress(error: &ServerError) -> bool {
    // The same code says that WAL archiving is off; then our own label is not there either.
    has_code(error, &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
}

fn has_code(error: &ServerError, code: &SqlState) -> bool {
    matches!(error, ServerError::Query { source, .. } if source.code() == Some(code))
}
