use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::unarchived_wal::{SetAside, unarchived};
use super::{
    ArchiveContent, RecoveryConfigError, RecoverySource, ServerProgram, ServerVersionError,
    lacks_for_failover,
};
use crate::archive::{self, Archive, ArchiveError};
use crate::data_directory::{
    COPY_MARKER, CopyMarker, DirectoryContents, IdentityError, InUse, NotATarget, NotTheOwner,
    PROMOTE_FILES, check_owner, own_tablespaces, server_configuration, wait_for_orphans,
};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::lock::{ENDING, lock_directory};
use crate::server::{Login, let_sessions_in, runs_without_pid_file};

/// Makes an empty data directory, or that of an earlier standby, ready for a base copy.
///
/// It writes the recovery settings, empties the WAL directory, removes a trigger and creates the archive
/// directory with its mark. Interrupted at any point, it is completed by the next run.
///
/// The data directory of a stopped primary is accepted only with `overwrite`. It becomes one in which a base copy was begun:
/// without pg_control, so that it can't be started, and with the marker of its cluster, so that only a copy of that cluster
/// overwrites it. pg_control and the WAL that was not archived are set aside.
#[derive(Debug, Clone)]
pub struct PrepareStandby {
    /// The data directory, which must exist.
    pub data_directory: PathBuf,
    /// The archive directory, which is created if it is missing.
    pub archive: PathBuf,
    /// The directory in which the node remembers the archive's mark; see [`archive::mark`].
    pub mark_directory: PathBuf,
    /// The recovery settings.
    pub recovery: RecoverySource,
    /// Configuration files of this node, such as postgresql.conf, to be copied into the data directory. Those
    /// that don't exist are left out.
    pub configuration: Vec<PathBuf>,
    /// Files that are removed: the switch that makes a primary ship its WAL would make the standby, once it is
    /// promoted, ship to the node that its WAL came from.
    pub remove: Vec<PathBuf>,
    /// Where the server's program is, for its version.
    pub program: ServerProgram,
    /// How to connect to a server of which there is no pid file.
    pub login: Login,
    /// Whether the data directory of a stopped primary may be prepared to be overwritten by a base copy.
    pub overwrite: bool,
}

/// What [`PrepareStandby::run`] does or finds, before it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareStep {
    /// A file will be deleted.
    Deleting(PathBuf),
    /// All files in a directory will be deleted.
    DeletingContents {
        /// The directory, which is kept.
        directory: PathBuf,
        /// The number of files.
        files: usize,
    },
    /// WAL that only this node has was moved to a directory.
    SetAside {
        /// The directory.
        directory: PathBuf,
        /// The number of WAL files that were not archived.
        wal_files: usize,
        /// Whether pg_control of an old primary was moved as well.
        control: bool,
    },
    /// The archive contains WAL files.
    ArchiveContent(ArchiveContent),
    /// The restore_command does not begin with `exec`; see [`RecoveryConfig::warning`](super::RecoveryConfig::warning).
    RestoreCommandWithoutExec(String),
    /// The program of restore_command does not exist.
    RestoreCommandMissing(String),
    /// A setting is wrong for the time after a failover.
    LacksForFailover(String),
}

/// Why a data directory could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data directory's own files can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The directory must not become a standby's.
    #[error(transparent)]
    NotATarget(#[from] NotATarget),
    /// The process runs as another user than the server.
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    /// The server's version is unknown.
    #[error(transparent)]
    Version(#[from] ServerVersionError),
    /// The recovery settings are not valid.
    #[error(transparent)]
    Recovery(#[from] RecoveryConfigError),
    /// A server is running although its postmaster.pid was removed.
    #[error("a server is running in \"{}\" without a postmaster.pid. HINT: stop it", .0.display())]
    NoPidFile(PathBuf),
    /// Another process prepares or copies the directory.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The archive can't be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl PrepareStandby {
    /// Does it. `report` is called before each deletion, and for what the user should know.
    ///
    /// # Errors
    /// If a server is running in the directory, it looks like a primary's, another process is copying to it,
    /// or a file or setting is not usable. What may be refused is checked before anything is changed.
    pub fn run(&self, report: &mut dyn FnMut(PrepareStep)) -> Result<(), PrepareError> {
        let pgdata = self.data_directory.as_path();
        check_owner(pgdata)?;
        let _lock = lock_directory(pgdata)?;
        wait_for_orphans(pgdata, ENDING)?;
        let found = DirectoryContents::read(pgdata)?;
        let old_primary = match found.may_be_prepared(self.archive_name()?.as_deref()) {
            Err(NotATarget::Primary { system_identifier, .. }) if self.overwrite => {
                Some(system_identifier)
            }
            other => other.map(|()| None)?,
        };
        if runs_without_pid_file(pgdata, &self.login) {
            return Err(PrepareError::NoPidFile(pgdata.to_owned()));
        }
        let major = self.program.major_of(pgdata)?;
        let recovery = self.recovery.read(major)?;
        if let Some(warning) = recovery.warning() {
            report(PrepareStep::RestoreCommandWithoutExec(warning));
        }
        if let Some(warning) = recovery.missing_program(pgdata) {
            report(PrepareStep::RestoreCommandMissing(warning));
        }

        fs::set_permissions(pgdata, Permissions::from_mode(0o700))
            .map_err(FileError::of("set the mode of", pgdata))?;
        let set_aside = SetAside::new(pgdata);
        if let Some(cluster) = old_primary {
            disable(pgdata, cluster, &set_aside)?;
        }
        // First: without the files that are removed below, and with the recovery settings, the server can't
        // open as a primary.
        recovery.apply(pgdata)?;
        let_sessions_in(pgdata, &self.mark_directory)?;
        for name in ["trigger", PROMOTE_FILES[0]] {
            remove(&pgdata.join(name), report)?;
        }
        self.remove.iter().try_for_each(|file| remove(file, report))?;
        let wal = pgdata.join(major.wal_directory());
        durable::create_directory(&wal)?;
        let unarchived = unarchived(&wal, !found.ran_as_standby())?;
        unarchived.iter().try_for_each(|file| set_aside.take(file))?;
        if old_primary.is_some() || !unarchived.is_empty() {
            report(PrepareStep::SetAside {
                directory: set_aside.path().to_owned(),
                wal_files: unarchived.len(),
                control: old_primary.is_some(),
            });
        }
        empty(&wal, report)?;
        durable::create_directory(&wal.join("archive_status"))?;
        self.prepare_archive(found.system_identifier(), report)?;
        self.copy_configuration()?;
        // Again: it resets the recovery settings of that configuration.
        recovery.apply(pgdata)?;
        // Without a configuration yet, the copy may bring the primary's, and reports the same then.
        if server_configuration(pgdata).is_some() {
            let lacks = lacks_for_failover(pgdata, major).into_iter();
            lacks.map(PrepareStep::LacksForFailover).for_each(report);
        }
        Ok(())
    }

    /// The name of the archive directory, or of the one that contains it, in the data directory.
    fn archive_name(&self) -> Result<Option<String>, FileError> {
        let real = fs::canonicalize(&self.data_directory)
            .map_err(FileError::of("resolve", &self.data_directory))?;
        let archive = fs::canonicalize(&self.archive).ok();
        let inside = archive.as_deref().and_then(|archive| archive.strip_prefix(&real).ok());
        Ok(inside.and_then(|path| Some(path.iter().next()?.to_str()?.to_owned())))
    }

    /// Only this creates the archive directory: to all other operations a missing one is an unmounted disk.
    fn prepare_archive(
        &self,
        cluster: Option<u64>,
        report: &mut dyn FnMut(PrepareStep),
    ) -> Result<(), PrepareError> {
        durable::create_directory(&self.archive)?;
        archive::mark(&self.archive, &self.mark_directory)?;
        let archive = Archive::open(&self.archive)?;
        archive.unbind()?;
        let content = ArchiveContent::of(&archive, cluster)?;
        if content.files > 0 {
            report(PrepareStep::ArchiveContent(content));
        }
        Ok(())
    }

    fn copy_configuration(&self) -> Result<(), FileError> {
        for file in &self.configuration {
            let Some(name) = file.file_name() else { continue };
            if let Some(text) = if_exists(fs::read(file)).map_err(FileError::of("read", file))? {
                durable::write(&self.data_directory.join(name), &text)?;
            }
        }
        Ok(())
    }
}

/// Makes sure that a primary's data directory can't be started any more, and that only a copy of its cluster replaces it.
/// As a standby it would replay WAL of a timeline that its files may be ahead of.
fn disable(pgdata: &Path, cluster: u64, set_aside: &SetAside) -> Result<(), FileError> {
    let marker = CopyMarker {
        system_identifier: cluster,
        token: String::new(),
        tablespaces: own_tablespaces(pgdata, None).into_iter().collect(),
    };
    durable::write(&pgdata.join(COPY_MARKER), marker.text().as_bytes())?;
    set_aside.take(&pgdata.join("global/pg_control"))
}

fn remove(path: &Path, report: &mut dyn FnMut(PrepareStep)) -> Result<(), FileError> {
    if path.symlink_metadata().is_ok() {
        report(PrepareStep::Deleting(path.to_owned()));
    }
    durable::remove(path)
}

/// Empties a directory and keeps it, as it may be a symbolic link.
fn empty(directory: &Path, report: &mut dyn FnMut(PrepareStep)) -> Result<(), FileError> {
    let entries =
        fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(FileError::of("list", directory))?;
    let files = entries.iter().filter(|entry| entry.file_name() != "archive_status").count();
    if files > 0 {
        report(PrepareStep::DeletingContents { directory: directory.to_owned(), files });
    }
    for entry in entries {
        let path = entry.path();
        let is_directory = entry.file_type().map_err(FileError::of("look at", &path))?.is_dir();
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(FileError::of("remove", &path))?;
    }
    durable::sync_directory(directory)
}
