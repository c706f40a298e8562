use std::fs;
use std::path::PathBuf;

use super::conversation::Conversation;
use super::files::FileCopy;
use super::primary::Primary;
use super::{BaseCopy, CopyError, CopyLosses, Progress, Wait, losses, same_target};
use crate::base_copy::{Part, Tablespace, Target, rewrite_map};
use crate::file_error::{FileError, if_exists};
use crate::rsync::{Remote, Transfer};
use crate::server::{Backup, FinishedBackup, Session};

/// The label of the online backup.
const LABEL: &str = "twowarm";

/// A copy that the other node allows.
pub(super) struct Copying<'a> {
    pub copy: &'a BaseCopy,
    pub primary: &'a Primary,
    pub remote: &'a Remote,
    pub target: Target,
    pub tablespaces: Vec<Tablespace>,
}

impl Copying<'_> {
    /// The rules of what is copied from the data directory.
    fn rules(&self) -> Result<String, CopyError> {
        let tablespaces: Vec<PathBuf> = self.tablespaces.iter().map(|t| t.from.clone()).collect();
        self.primary.rules(&self.target, &tablespaces)
    }

    /// Fails if the copy would delete what is not part of the cluster and the caller does not agree.
    pub(super) fn obtain_agreement(
        &self,
        other: &mut Conversation<'_>,
        agree: &mut (dyn FnMut(&CopyLosses) -> bool + Send),
    ) -> Result<(), CopyError> {
        let (from, to) = (&self.primary.data_directory, &self.target.pgdata);
        let rules = self.rules()?;
        let transfer =
            Transfer { remote: self.remote, from, to, options: &losses::DRY_RUN, rules: &rules };
        losses::obtain_agreement(other, &transfer, agree)
    }

    /// Makes the copy. If this fails, the backup is ended, and the target has no pg_control.
    pub(super) fn run(
        &self,
        other: &mut Conversation<'_>,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        self.begin_and_copy(other, session).map_err(|cause| CopyError::Incomplete {
            target: format!("{}:{}", self.remote.name(), self.target.pgdata.display()),
            cause: Box::new(cause),
        })
    }

    fn begin_and_copy(
        &self,
        other: &mut Conversation<'_>,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        let (from, to) = (&self.primary.data_directory, &self.target.pgdata);
        same_target::begin(other, self.remote, from, to)?;
        if !self.primary.major.has_session_backup() {
            other.hold_signals()?;
        }
        let backup = self.copy_in_backup(other, session);
        // After a signal, the errors of rsync and others are only its consequence.
        let backup = backup.or_else(|error| other.check_signals().and(Err(error)))?;
        other.release_signals();
        Ok(backup)
    }

    fn copy_in_backup(
        &self,
        other: &mut Conversation<'_>,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        let (login, pgdata) = (&self.copy.login, &self.primary.data_directory);
        let checkpoint =
            Wait::Checkpoint { spread: self.primary.major.spreads_backup_checkpoint() };
        let canceller = session.canceller();
        let start = || Backup::start(session, pgdata, login, LABEL);
        let backup = other.during_statement(checkpoint, canceller, start)??;
        let layout = self.primary.layout;
        let first = layout.containing(self.primary.timeline, backup.start_lsn());
        other.report(Progress::BackupBegun(first));
        self.copy_files(other)?;
        // Read before the backup ends, so that the end of the backup is later than any position in it.
        let control = self.primary.control_bytes()?;
        let canceller = backup.canceller();
        let stop = move || backup.stop(layout);
        let end = Wait::BackupEnd { archives: self.primary.major.archives_at_backup_end() };
        let backup = other.during_statement(end, canceller, stop)??;
        other.report(Progress::BackupEnded(backup.last));
        other.send_part(Part::Label, &backup.label)?;
        let map = rewrite_map(&backup.tablespace_map, &self.tablespaces);
        other.send_part(Part::TablespaceMap, &map)?;
        other.send_part(Part::Control, &control)?;
        for lack in other.finish()? {
            other.report(Progress::Lacks(&lack));
        }
        Ok(backup)
    }

    fn copy_files(&self, other: &mut Conversation<'_>) -> Result<(), CopyError> {
        let mut files =
            FileCopy { remote: self.remote, expected: self.primary.bytes, completed: 0 };
        for tablespace in &self.tablespaces {
            // A tablespace that was dropped meanwhile is dropped from the copy by replay.
            let found = if_exists(fs::metadata(&tablespace.from));
            if found.map_err(FileError::of("read the attributes of", &tablespace.from))?.is_none() {
                continue;
            }
            for (name, rules) in self.primary.tablespace_directories(&tablespace.from)? {
                let (from, to) = (tablespace.from.join(&name), tablespace.to.join(&name));
                files.copy(other, &from, &to, &rules)?;
            }
        }
        let rules = self.rules()?;
        files.copy(other, &self.primary.data_directory, &self.target.pgdata, &rules)?;
        other.report(Progress::FilesCopied);
        Ok(())
    }
}
