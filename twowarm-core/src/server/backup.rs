use std::path::Path;

use super::{Canceller, ExclusiveBackup, Login, ServerError, Session};
use crate::wal::{BackupLabel, Lsn, SegmentLayout, SegmentName, WalFileName};

/// A running online backup. It is ended when this is dropped.
pub enum Backup {
    /// From 9.6 on the backup belongs to a session and ends with it. It writes nothing into the data directory.
    OfSession {
        /// The session.
        session: Box<Session>,
        /// The start position.
        start: Lsn,
    },
    /// Before 9.6 the backup belongs to the server.
    Exclusive(Box<ExclusiveBackup>),
}

/// The result of an online backup, part of which is written into the copy.
#[derive(Debug, Clone)]
pub struct FinishedBackup {
    /// The content of `backup_label`.
    pub label: Vec<u8>,
    /// The content of `tablespace_map`; empty without tablespaces.
    pub tablespace_map: Vec<u8>,
    /// The first WAL segment that the copy needs.
    pub first: SegmentName,
    /// The last WAL segment that the copy needs.
    pub last: SegmentName,
    /// The backup history file. A server before 9.0 reads in it where the copy is consistent, and does not check
    /// that without it.
    pub history: Option<WalFileName>,
}

impl Backup {
    /// Starts a backup with an immediate checkpoint (a spread one in 8.3), and returns when that is complete.
    /// `label` is a plain word.
    ///
    /// # Errors
    /// If another backup is running, or the server refuses.
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
        let row = session.row_without_limit(&question)?;
        let start =
            row.into_iter().next().ok_or(ServerError::UnexpectedResult(question))?.parse()?;
        Ok(Backup::OfSession { session: Box::new(session), start })
    }

    /// The start position.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        match self {
            Backup::OfSession { start, .. } => *start,
            Backup::Exclusive(backup) => backup.start_lsn(),
        }
    }

    /// What cancels a statement of its session, such as the one that ends the backup.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        match self {
            Backup::OfSession { session, .. } => session.canceller(),
            Backup::Exclusive(backup) => backup.session().canceller(),
        }
    }

    /// Ends the backup. The server then archives the last segment; the caller must wait for that.
    ///
    /// # Errors
    /// If the server refuses, or the backup was ended by another session.
    pub fn stop(self, layout: SegmentLayout) -> Result<FinishedBackup, ServerError> {
        let mut session = match self {
            Backup::OfSession { session, .. } => session,
            Backup::Exclusive(backup) => return backup.stop(layout),
        };
        let question = session.major().backup_stop();
        let row = session.row_without_limit(question)?;
        let [stop, label, tablespace_map] = <[String; 3]>::try_from(row)
            .map_err(|_| ServerError::UnexpectedResult(question.to_owned()))?;
        let stop: Lsn = stop.parse()?;
        let parsed = BackupLabel::parse(label.as_bytes())?;
        let first = parsed.start_segment();
        // The segment of the last byte: if the end is a segment boundary, the next segment is not needed.
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
