//! Making an old primary a standby of the new one, without a copy.

mod at_receipt;
mod error;
mod fork;
mod status_files;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::error::RejoinError;
use self::fork::Fork;
use super::{PrepareError, RecoverySource, ServerProgram, lacks_for_failover};
use crate::archive::{self, Archive, OtherArchive, check_mark};
use crate::data_directory::{
    DirectoryContents, PROMOTE_FILES, STATE_PREFIX, check_owner, wait_for_orphans,
};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::lock::{ENDING, lock_directory};
use crate::receipt::{Receipt, ReceiptFile};
use crate::server::{Login, let_sessions_in, runs_without_pid_file};
use crate::version::PgMajor;
use crate::wal::{ClusterState, ControlFile, TimelineId, WalFileName};

/// Makes an old primary, which flushPrimary has shut down, a standby of the node that was promoted then.
///
/// A server can follow a newer timeline without pg_rewind exactly if it has no WAL from after the fork. This is proved
/// first: by pg_control and the last WAL of the data directory, by the receipt of flushPrimary and by the new primary's
/// timeline history. Then the recovery settings are written. No file of the cluster is copied or deleted. Interrupted
/// at any point, it is completed by the next run.
#[derive(Debug, Clone)]
pub struct Rejoin {
    /// The data directory of the old primary.
    pub data_directory: PathBuf,
    /// The archive directory, which is created if the node had none.
    pub archive: PathBuf,
    /// The directory with the node's receipt and the archive's mark; see [`archive::mark`].
    pub local_replication: PathBuf,
    /// The recovery settings.
    pub recovery: RecoverySource,
    /// Files that are removed: the switch that makes a primary ship its WAL, and the trigger file.
    pub remove: Vec<PathBuf>,
    /// Where the server's program is, for its version.
    pub program: ServerProgram,
    /// How to connect to a server of which there is no pid file.
    pub login: Login,
    /// The archives of other nodes, which are asked for the history of the new timeline if it has not arrived.
    pub others: Vec<Arc<dyn OtherArchive>>,
}

/// What [`Rejoin::run`] does or finds, before it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejoinStep {
    /// The data directory is exactly where flushPrimary shut it down.
    AtReceipt(Box<Receipt>),
    /// A file was fetched from another node.
    Fetched {
        /// The file.
        name: WalFileName,
        /// The node.
        node: String,
    },
    /// This timeline forked there, and will be followed.
    Follows(TimelineId),
    /// An earlier run was interrupted, and is completed.
    Completing,
    /// A file will be deleted.
    Deleting(PathBuf),
    /// The restore_command does not begin with `exec`; see [`RecoveryConfig::warning`](super::RecoveryConfig::warning).
    RestoreCommandWithoutExec(String),
    /// The program of restore_command does not exist.
    RestoreCommandMissing(String),
    /// A setting is wrong for the time after a failover.
    LacksForFailover(String),
}

impl Rejoin {
    /// Does it.
    ///
    /// # Errors
    /// If it can't be proved that the server can follow the new timeline; then nothing is changed except that the
    /// archive directory is created. Otherwise if a server is running, or a file can't be read or written.
    pub fn run(&self, report: &mut dyn FnMut(RejoinStep)) -> Result<(), RejoinError> {
        let pgdata = self.data_directory.as_path();
        check_owner(pgdata)?;
        let _lock = lock_directory(pgdata)?;
        wait_for_orphans(pgdata, ENDING)?;
        let found = DirectoryContents::read(pgdata)?;
        found.has_no_server()?;
        if runs_without_pid_file(pgdata, &self.login) {
            return Err(PrepareError::NoPidFile(pgdata.to_owned()).into());
        }
        let receipt = Receipt::of_node(&self.local_replication)?;
        let begun = match &receipt {
            Some(receipt) => self.begun_with()?.is_some_and(|id| id == receipt.id.as_str()),
            None => false,
        };
        if let Some(file) = found.recovery
            && !begun
        {
            return Err(RejoinError::AlreadyStandby { path: pgdata.to_owned(), file });
        }
        let Some(receipt) = receipt else {
            let file = ReceiptFile::of_node(&self.local_replication).path();
            return Err(RejoinError::NoReceipt(file));
        };
        let control = found.control.and_then(|cluster| cluster.control);
        let control = control.ok_or_else(|| RejoinError::UnknownVersion(pgdata.to_owned()))?;
        let major = self.check_version()?;
        let recovery = self.recovery.read(major)?;
        let warning = recovery.warning().map(RejoinStep::RestoreCommandWithoutExec);
        let missing = recovery.missing_program(pgdata).map(RejoinStep::RestoreCommandMissing);
        warning.into_iter().chain(missing).for_each(&mut *report);

        // The server has run as a standby since an interrupted run.
        let is_standby = found.recovery.is_some() && is_in_recovery(&control);
        if begun {
            report(RejoinStep::Completing);
        }
        if !is_standby {
            self.prove(&control, &receipt, report)?;
            durable::write(&self.begun_file(), format!("{}\n", receipt.id).as_bytes())?;
            // First: a trigger of this node's last failover would promote the standby at once.
            for name in ["trigger", PROMOTE_FILES[0]] {
                remove(&pgdata.join(name), report)?;
            }
        }
        recovery.apply(pgdata)?;
        // Not before: until then a start by mistake would open a second primary.
        let_sessions_in(pgdata, &self.local_replication)?;
        Archive::open(&self.archive)?.unbind_earlier(receipt.timeline)?;
        status_files::mark_archived(pgdata, major, &receipt)?;
        for file in &self.remove {
            remove(file, report)?;
        }
        lacks_for_failover(pgdata, major)
            .into_iter()
            .map(RejoinStep::LacksForFailover)
            .for_each(report);
        Ok(durable::remove(&self.begun_file())?)
    }

    /// The version of the server.
    ///
    /// # Errors
    /// If the version is not known, or has no rejoin.
    pub fn check_version(&self) -> Result<PgMajor, RejoinError> {
        let major = self.program.major_of(&self.data_directory)?;
        if major.promotes_to_new_timeline() {
            Ok(major)
        } else {
            Err(RejoinError::SameTimeline(major))
        }
    }

    fn prove(
        &self,
        control: &ControlFile,
        receipt: &Receipt,
        report: &mut dyn FnMut(RejoinStep),
    ) -> Result<(), RejoinError> {
        let segment = at_receipt::check(&self.data_directory, control, receipt)?;
        report(RejoinStep::AtReceipt(Box::new(receipt.clone())));
        let archive = self.prepare_archive()?;
        let fork =
            Fork { archive: &archive, receipt, control, segment: &segment, others: &self.others };
        let timeline = fork.check(report)?;
        report(RejoinStep::Follows(timeline));
        Ok(())
    }

    /// Creates and marks the archive directory, if the node has none, and opens it. Done before the other node is
    /// promoted, the new primary can ship to this node at once. It can be repeated.
    ///
    /// A missing archive directory of a node that has a mark is an unmounted disk.
    ///
    /// # Errors
    /// If the archive directory can't be created, or is not the one that has the node's mark.
    pub fn prepare_archive(&self) -> Result<Archive, RejoinError> {
        if !archive::is_marked_for(&self.local_replication)? {
            durable::create_directory(&self.archive)?;
            archive::mark(&self.archive, &self.local_replication)?;
        }
        check_mark(&self.archive, &self.local_replication)?;
        Ok(Archive::open(&self.archive)?)
    }

    /// The file by which the next run recognizes that this one was interrupted. It contains the id of the receipt.
    fn begun_file(&self) -> PathBuf {
        self.data_directory.join(format!("{STATE_PREFIX}_rejoin"))
    }

    fn begun_with(&self) -> Result<Option<String>, FileError> {
        let file = self.begun_file();
        let text = if_exists(fs::read_to_string(&file)).map_err(FileError::of("read", &file))?;
        Ok(text.map(|text| text.trim().to_owned()))
    }
}

fn is_in_recovery(control: &ControlFile) -> bool {
    matches!(control.state, ClusterState::InArchiveRecovery | ClusterState::ShutDownInRecovery)
}

fn remove(path: &Path, report: &mut dyn FnMut(RejoinStep)) -> Result<(), FileError> {
    if path.symlink_metadata().is_ok() {
        report(RejoinStep::Deleting(path.to_owned()));
    }
    durable::remove(path)
}
