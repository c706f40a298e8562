use std::fs;

use super::changes::Changes;
use super::conversation::Conversation;
use super::files::FileCopy;
use super::plan::{self, Directory};
use super::source::Source;
use super::{BaseCopy, CopyError, CopyLosses, Progress, Wait, losses, same_target};
use crate::base_copy::{Part, Tablespace, Target, rewrite_map};
use crate::file_error::{FileError, if_exists};
use crate::rsync::Remote;
use crate::server::{Backup, FinishedBackup, Session};

/// The label of the online backup.
const LABEL: &str = "twowarm";

/// How many rsyncs run at a time; docs/base-copy.md says what was measured.
const STREAMS: usize = 4;

/// A copy that the other node allows.
pub(super) struct Copying<'a> {
    pub copy: &'a BaseCopy,
    pub source: &'a Source,
    pub remote: &'a Remote,
    pub target: Target,
    pub tablespaces: Vec<Tablespace>,
}

impl Copying<'_> {
    /// Fails if the copy would delete what is not part of the cluster and the caller does not agree.
    pub(super) fn obtain_agreement(
        &self,
        other: &mut Conversation<'_>,
        agree: &mut (dyn FnMut(&CopyLosses) -> bool + Send),
    ) -> Result<(), CopyError> {
        let losses = self.losses(other)?;
        if losses.is_empty() || other.during(Wait::Agreement, || agree(&losses))? {
            return Ok(());
        }
        Err(CopyError::NotAgreed(Box::new(losses)))
    }

    /// Reports what the copy would do, and changes nothing.
    pub(super) fn dry_run(&self, other: &mut Conversation<'_>) -> Result<(), CopyError> {
        let losses = self.losses(other)?;
        if !losses.is_empty() {
            other.report(Progress::WouldLose(&losses));
        }
        for directory in self.directories()? {
            let changes = Changes::of(other, self.remote, &directory)?;
            other.report(Progress::WouldCopy(&changes));
        }
        Ok(())
    }

    fn losses(&self, other: &mut Conversation<'_>) -> Result<CopyLosses, CopyError> {
        let data = self.source.directory(&self.target, &self.tablespaces)?;
        losses::find(other, self.remote, &data)
    }

    /// Makes the copy. If this fails, the backup is ended, and the target has no pg_control.
    pub(super) fn run(
        &self,
        other: &mut Conversation<'_>,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        self.begin_and_copy(other, session).map_err(|cause| CopyError::Incomplete {
            target: format!("{}:{}", self.remote.name(), self.target.pgdata.display()),
            command: self.copy.role.command(),
            cause: Box::new(cause),
        })
    }

    fn begin_and_copy(
        &self,
        other: &mut Conversation<'_>,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        let (from, to) = (&self.source.data_directory, &self.target.pgdata);
        same_target::begin(other, self.remote, from, to)?;
        if !self.source.major.has_session_backup() {
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
        let (login, pgdata) = (&self.copy.login, &self.source.data_directory);
        let checkpoint = Wait::Checkpoint { spread: self.source.major.spreads_backup_checkpoint() };
        let canceller = session.canceller();
        let start = || Backup::start(session, pgdata, login, LABEL);
        let backup = other.during_statement(checkpoint, canceller, start)??;
        let layout = self.source.layout;
        let first = layout.containing(self.source.checkpoint_timeline()?, backup.start_lsn());
        other.report(Progress::BackupBegun(first));
        other.backup_begins(first)?;
        self.copy_files(other)?;
        // Read before the backup ends, so that the end of the backup is later than any position in it.
        let control = self.source.control_bytes()?;
        let canceller = backup.canceller();
        let stop = move || backup.stop(layout);
        let end = Wait::BackupEnd { archives: self.source.major.archives_at_backup_end() };
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
        let jobs = plan::jobs(&self.directories()?, STREAMS)?;
        let (remote, older_copy) = (self.remote, self.target.older_copy);
        let rate_limit = self.copy.rate_limit;
        let copy = FileCopy { remote, streams: STREAMS, rate_limit, older_copy };
        copy.run(other, jobs)
    }

    /// What is copied: the data directory and the tablespaces that still exist. One that was dropped meanwhile is dropped
    /// from the copy by replay.
    fn directories(&self) -> Result<Vec<Directory>, CopyError> {
        let mut directories = vec![self.source.directory(&self.target, &self.tablespaces)?];
        for tablespace in &self.tablespaces {
            let found = if_exists(fs::metadata(&tablespace.from));
            if found.map_err(FileError::of("read the attributes of", &tablespace.from))?.is_some() {
                directories.extend(self.source.tablespace_directories(tablespace)?);
            }
        }
        Ok(directories)
    }
}
