use super::{ServerError, Session};
use crate::wal::{BackupLabel, Lsn, SegmentLayout, SegmentName};

/// A running online backup. It is the session's: when the session ends, so does the backup, and nothing
/// is left in the data directory.
pub struct Backup {
    session: Session,
    start: Lsn,
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
}

impl Backup {
    /// Starts it with an immediate checkpoint; returns when that is done.
    pub fn start(mut session: Session, label: &str) -> Result<Backup, ServerError> {
        let question = session.major().backup_start(label);
        let row = session.slow_row(&question)?;
        let start = row.into_iter().next().ok_or(ServerError::NoAnswer(question))?.parse()?;
        Ok(Backup { session, start })
    }

    /// Where it starts.
    pub fn start_lsn(&self) -> Lsn {
        self.start
    }

    /// Ends it. The segment it ends in is finished and will be archived; this does not wait for that.
    pub fn stop(mut self, layout: SegmentLayout) -> Result<FinishedBackup, ServerError> {
        let question = self.session.major().backup_stop();
        let row = self.session.slow_row(question)?;
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
        })
    }
}
