use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::unistd::syncfs;

use super::begin::{no_server, remove_links};
use super::{FarEndError, Incoming};
use crate::base_copy::Tablespace;
use crate::data_directory::COPY_MARKER;
use crate::durable;
use crate::file_error::FileError;
use crate::ship::wire::RefusalCode;
use crate::standby::lacks_for_failover;
use crate::wal::ControlFile;

/// Finishes the copy. pg_control, without which no server starts, is written when everything else is on
/// disk. Returns what the standby lacks, for the user.
pub(super) fn finish(copy: &Incoming<'_>) -> Result<Vec<String>, FarEndError> {
    let (parts, major) = (&copy.parts, copy.hello.major);
    let (pgdata, tablespaces) = (&copy.target.data_directory, &copy.survey.tablespaces);
    let system_identifier =
        ControlFile::identifier_in(&parts.control).map_err(FarEndError::Control)?;
    if system_identifier != copy.hello.system_identifier || parts.label.is_empty() {
        let message =
            "the received pg_control belongs to another cluster, or backup_label was not received";
        return Err(FarEndError::refusal(RefusalCode::PROTOCOL, message));
    }
    durable::write(&pgdata.join("backup_label"), &parts.label)?;
    if !parts.tablespace_map.is_empty() {
        durable::write(&pgdata.join("tablespace_map"), &parts.tablespace_map)?;
    }
    if !major.has_tablespace_map() {
        make_links(&pgdata.join("pg_tblspc"), tablespaces)?;
    }
    // The copied files contain the source's settings.
    let recovery = copy.target.recovery.read(major)?;
    recovery.apply(pgdata)?;
    durable::create_directory(&pgdata.join(major.wal_directory()).join("archive_status"))?;
    sync_file_system(pgdata)?;
    tablespaces.iter().try_for_each(|tablespace| sync_file_system(&tablespace.to))?;
    no_server(pgdata)?;
    durable::write(&pgdata.join("global/pg_control"), &parts.control)?;
    durable::remove(&pgdata.join(COPY_MARKER))?;
    let mut lacks = lacks_for_failover(pgdata, major);
    lacks.extend(recovery.missing_program(pgdata));
    Ok(lacks)
}

/// Creates the links to tablespaces, which servers before 9.5 don't create themselves.
fn make_links(directory: &Path, tablespaces: &[Tablespace]) -> Result<(), FileError> {
    // An interrupted copy may have created some.
    remove_links(directory)?;
    for tablespace in tablespaces {
        let link = directory.join(tablespace.oid.to_string());
        symlink(&tablespace.to, &link).map_err(FileError::of("create symbolic link", &link))?;
    }
    if tablespaces.is_empty() { Ok(()) } else { durable::sync_directory(directory) }
}

/// Writes out the whole file system: rsync leaves its files in the system's cache.
fn sync_file_system(directory: &Path) -> Result<(), FileError> {
    let file = File::open(directory).map_err(FileError::of("open", directory))?;
    syncfs(file).map_err(FileError::of("sync the file system of", directory))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn links_point_to_the_tablespace_directories_of_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let to = |oid, to: &str| Tablespace { oid, from: "/from".into(), to: to.into() };
        make_links(dir.path(), &[to(16384, "/old"), to(16385, "/dropped")]).unwrap();
        make_links(dir.path(), &[to(16384, "/ts/a")]).unwrap();
        assert_eq!(fs::read_link(dir.path().join("16384")).unwrap(), Path::new("/ts/a"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        make_links(Path::new("/nowhere/at/all"), &[]).unwrap();
    }
}
