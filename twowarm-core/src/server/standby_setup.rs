use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{
    CONFIGURATION, DataDirectory, InUse, NotATarget, NotTheOwner, RecoveryConfig,
    RecoveryConfigError, ServerError, Session, UnknownMajor, archive_clusters, check_owner,
    lacks_for_failover, lock_directory, which_major,
};
use crate::archive::{self, Archive, ArchiveError};
use crate::data_directory::server_configuration;
use crate::durable;
use crate::file_error::FileError;
use crate::node::{Install, InstallError};

/// Why a data directory could not be prepared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SetupError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    NotATarget(#[from] NotATarget),
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    #[error(transparent)]
    Major(#[from] UnknownMajor),
    #[error(transparent)]
    Recovery(#[from] RecoveryConfigError),
    #[error("a server stands in {0} although no postmaster.pid there says so: stop it")]
    Unlisted(String),
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Makes an empty data directory, or an older standby's, ready for a base copy: what configStandby does.
/// `tell` hears what will be deleted before it is. A crash in between is repaired by the next run.
pub fn prepare_standby(install: &Install, tell: &mut dyn FnMut(String)) -> Result<(), SetupError> {
    let pgdata = install.require_pgdata()?;
    let archive = install.require_archive()?;
    check_owner(pgdata)?;
    let _lock = lock_directory(pgdata)?;
    let found = DataDirectory::look(pgdata)?;
    let real = fs::canonicalize(pgdata).map_err(FileError::of("find", pgdata))?;
    let inside = fs::canonicalize(archive).ok();
    let inside = inside.as_deref().and_then(|archive| archive.strip_prefix(&real).ok());
    let own_archive = inside.and_then(|path| path.iter().next()?.to_str());
    found.may_be_prepared(own_archive)?;
    if unlisted_server(install, pgdata) {
        return Err(SetupError::Unlisted(pgdata.display().to_string()));
    }
    let major = which_major(install)?;
    let recovery = RecoveryConfig::of(install, major)?;
    recovery.warning().into_iter().for_each(&mut *tell);

    fs::set_permissions(pgdata, Permissions::from_mode(0o700))
        .map_err(FileError::of("set the mode of", pgdata))?;
    // Before anything else: with these gone, and with it there, the server can't open as a primary.
    recovery.apply(pgdata, major)?;
    for name in ["trigger", "promote"] {
        remove_told(&pgdata.join(name), tell)?;
    }
    // Left from its days as a primary, it would make a promoted standby ship to where its WAL came from.
    remove_told(&install.archiving_active_file(), tell)?;
    let wal = pgdata.join(major.wal_directory());
    durable::create_directory(&wal)?;
    empty(&wal, tell)?;
    durable::create_directory(&wal.join("archive_status"))?;
    // Nothing else makes the archive: a missing one is an unmounted disk to all but us.
    durable::create_directory(archive)?;
    archive::mark(archive, &install.local_replication())?;
    let archive = Archive::open(archive)?;
    archive.unbind()?;
    if let Some(line) = archive_clusters::told(&archive, found.system_identifier())? {
        tell(line);
    }
    for name in CONFIGURATION {
        let own = install.local().join(name);
        match fs::read(&own) {
            Ok(text) => durable::write(&pgdata.join(name), &text)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::of("read", &own)(e).into()),
        }
    }
    // Once more: it puts back what that file says of recovery.
    recovery.apply(pgdata, major)?;
    // Where there is none yet, the copy may bring the primary's; copyToStandby says what it lacks.
    if server_configuration(pgdata).is_some() {
        let lacks = lacks_for_failover(pgdata, major);
        lacks.into_iter().for_each(|lack| tell(format!("WARNING: {lack}")));
    }
    Ok(())
}

/// Whether a server stands in the data directory although no `postmaster.pid` there says so: somebody
/// removed that file.
pub fn unlisted_server(install: &Install, pgdata: &Path) -> bool {
    Session::find_unlisted(pgdata, &install.login())
}

fn remove_told(path: &Path, tell: &mut dyn FnMut(String)) -> Result<(), FileError> {
    if path.symlink_metadata().is_ok() {
        tell(format!("deleting {}", path.display()));
    }
    durable::remove(path)
}

/// Empties a directory and keeps it, be it a link to one.
fn empty(directory: &Path, tell: &mut dyn FnMut(String)) -> Result<(), FileError> {
    let entries =
        fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(FileError::of("list", directory))?;
    let files = entries.iter().filter(|entry| entry.file_name() != "archive_status").count();
    if files > 0 {
        tell(format!("deleting the contents of {} ({files} files)", directory.display()));
    }
    for entry in entries {
        let path = entry.path();
        let is_directory = entry.file_type().map_err(FileError::of("look at", &path))?.is_dir();
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(FileError::of("remove", &path))?;
    }
    durable::sync_directory(directory)
}
