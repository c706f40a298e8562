use std::path::Path;

use super::{Canceller, ExclusiveBackup, Login, ServerError, Session};
use crate::wal::{BackupLabel, Lsn, SegmentLayout, SegmentName, WalFileName};

/// A running online backup. Dropping it ends it.
pub enum Backup {
    /// From 9.6 on it is the session's: when the session ends, so does the backup, and nothing is left in
    /// the data directory.
    OfSession {
        /// The session.
        session: Box<Session>,
        /// Where the backup starts.
        start: Lsn,
    },
    /// Before 9.6.
    Exclusive(Box<ExclusiveBackup>),
}

/// What a backup leaves to be written into the copy.
#[derive(Debug, Clone)]
pub struct FinishedBackup {
    /// `backup_label`, byte for byte.
    pub label: Vec<u8>,
    /// `tablespace_map`, byte for byte; empty where there are no tablespaces.
    pub tablespace_map: Vec<u8>,
    /// The first WAL segment that the copy needs.
    pub first: SegmentName,
    /// The last one.
    pub last: SegmentName,
    /// The `.backup` file, where the server learns from it when the copy is consistent: before 9.0, and
    /// one that does not find it does not check that.
    pub history: Option<WalFileName>,
}

impl Backup {
    /// Starts it with an immediate checkpoint (8.3: with one that is spread); returns when that is done.
    pub fn start(
        mut session: Session,
        pgdata: &Path,
        login: &Login,
        label: &str,
    ) -> Result<Backup, ServerError> {
        if !session.major().has_session_backup() {
            let backup = ExclusiveBackup::start(session, pgdata, login, label)?;
            return Ok(Backup::Exclusive(Box::new(backup)));
        }
        let question = session.major().backup_start(label);
        let row = session.slow_row(&question)?;
        let start = row.into_iter().next().ok_or(ServerError::NoAnswer(question))?.parse()?;
        Ok(Backup::OfSession { session: Box::new(session), start })
    }

    /// Where it starts.
    pub fn start_lsn(&self) -> Lsn {
        match self {
            Backup::OfSession { start, .. } => *start,
            Backup::Exclusive(backup) => backup.start_lsn(),
        }
    }

    /// What ends a statement of its session, such as the one that stops it.
    pub fn canceller(&self) -> Canceller {
        match self {
            Backup::OfSession { session, .. } => session.canceller(),
            Backup::Exclusive(backup) => backup.session().canceller(),
        }
    }

    /// Ends it. The segment it ends in is finished and will be archived; whether that has been done, the
    /// caller must find out.
    pub fn stop(self, layout: SegmentLayout) -> Result<FinishedBackup, ServerError> {
        let mut session = match self {
            Backup::OfSession { session, .. } => session,
            Backup::Exclusive(backup) => return backup.stop(layout),
        };
        let question = session.major().backup_stop();
        let row = session.slow_row(question)?;
        let [stop, label, tablespace_map] =
            <[String; 3]>::try_from(row).map_err(|_| ServerError::NoAnswer(question.to_owned()))?;
        let stop: Lsn = stop.parse()?;
        let parsed = BackupLabel::parse(label.as_bytes())?;
        let first = parsed.start_segment();
        // The segment of the byte before: at a boundary, the one that begins there is not needed.
        let last = layout.ending_at(first.timeline, stop).unwrap_or(first);
        Ok(FinishedBackup {
            label: label.into_bytes(),
            tablespace_map: tablespace_map.into_bytes(),
            first,
            last,
            history: None,
        })
    }
}
