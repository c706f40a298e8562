use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::unistd::syncfs;

use super::own_tablespaces::own_tablespaces;
use super::{FarEndError, Parts};
use crate::base_copy::{Survey, Tablespace};
use crate::data_directory::{COPY_MARKER, CopyMarker, NotATarget, running_server};
use crate::durable;
use crate::file_error::FileError;
use crate::node::Install;
use crate::ship::wire::{Hello, RefusalCode};
use crate::wal::ControlFile;

/// What an older backup left: with another backup's label the server would start at the wrong place.
const LABELS: [&str; 6] = [
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    ".twowarm-backup_label",
    ".twowarm-tablespace_map",
];

/// Makes the target a place that no server starts in, before any byte of it changes.
pub(super) fn begin(
    install: &Install,
    hello: &Hello,
    survey: &Survey,
    token: String,
) -> Result<(), FarEndError> {
    let pgdata = install.require_pgdata()?;
    let older = CopyMarker::read(pgdata)?.filter(|_| !pgdata.join("global/pg_control").exists());
    let mut tablespaces = own_tablespaces(pgdata, older.as_ref());
    tablespaces.extend(survey.tablespaces.iter().map(|t| t.to.clone()));
    let marker = CopyMarker {
        system_identifier: hello.system_identifier,
        token,
        tablespaces: tablespaces.into_iter().collect(),
    };
    disarm(pgdata, marker.text().as_bytes(), &no_server)?;
    for name in LABELS {
        durable::remove(&pgdata.join(name))?;
    }
    remove_links(&pgdata.join("pg_tblspc"))?;
    for tablespace in &survey.tablespaces {
        durable::create_directory(&tablespace.to)?;
    }
    Ok(())
}

/// Takes pg_control away. A supervisor may start the old standby at any moment until then: one that did
/// gets it back and is left alone.
fn disarm(
    pgdata: &Path,
    marker: &[u8],
    no_server: &dyn Fn(&Path) -> Result<(), FarEndError>,
) -> Result<(), FarEndError> {
    no_server(pgdata)?;
    let (control, marked) = (pgdata.join("global/pg_control"), pgdata.join(COPY_MARKER));
    let bytes = match fs::read(&control) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(FileError::of("read", &control)(e).into()),
    };
    durable::write(&marked, marker)?;
    durable::remove(&control)?;
    // Whoever starts it from now on does not get far.
    let started = no_server(pgdata);
    if let (Err(_), Some(bytes)) = (&started, bytes) {
        durable::write(&control, &bytes)?;
        durable::remove(&marked)?;
    }
    started
}

fn no_server(pgdata: &Path) -> Result<(), FarEndError> {
    match running_server(pgdata)? {
        Some(server) => {
            Err(NotATarget::Running { path: pgdata.to_owned(), pid: server.pid }.into())
        }
        None => Ok(()),
    }
}

/// The server makes them again by tablespace_map, or we at the end; those of tablespaces that are no more would stay.
fn remove_links(directory: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(directory).and_then(|all| all.collect::<Result<Vec<_>, _>>()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FileError::of("list", directory)(e)),
    };
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Before 9.5 no server makes them.
fn make_links(directory: &Path, tablespaces: &[Tablespace]) -> Result<(), FileError> {
    // A run that was cut short after this made some.
    remove_links(directory)?;
    for tablespace in tablespaces {
        let link = directory.join(tablespace.oid.to_string());
        symlink(&tablespace.to, &link).map_err(FileError::of("make the link", &link))?;
    }
    if tablespaces.is_empty() { Ok(()) } else { durable::sync_directory(directory) }
}

/// Finishes the copy: all else is on disk before pg_control, which lets a server start, is there.
pub(super) fn finish(
    install: &Install,
    hello: &Hello,
    survey: &Survey,
    parts: &Parts,
) -> Result<(), FarEndError> {
    let pgdata = install.require_pgdata()?;
    let place = |name: &str| pgdata.join(name);
    let cluster = ControlFile::identifier_in(&parts.control)?;
    if cluster != hello.system_identifier || parts.label.is_empty() {
        let message =
            "the pg_control that was sent is of another cluster, or backup_label is missing";
        return Err(FarEndError::refusal(RefusalCode::PROTOCOL, message));
    }
    durable::write(&place("backup_label"), &parts.label)?;
    if !parts.tablespace_map.is_empty() {
        durable::write(&place("tablespace_map"), &parts.tablespace_map)?;
    }
    if !hello.major.has_tablespace_map() {
        make_links(&pgdata.join("pg_tblspc"), &survey.tablespaces)?;
    }
    // The copy brought the source's settings.
    install.recovery_source().read(hello.major)?.apply(pgdata)?;
    let wal = pgdata.join(hello.major.wal_directory());
    durable::create_directory(&wal.join("archive_status"))?;
    sync_file_system(pgdata)?;
    survey.tablespaces.iter().try_for_each(|tablespace| sync_file_system(&tablespace.to))?;
    no_server(pgdata)?;
    durable::write(&place("global/pg_control"), &parts.control)?;
    durable::remove(&place(COPY_MARKER))?;
    Ok(())
}

/// rsync leaves its files in the system's cache; this writes out all of the file system.
fn sync_file_system(directory: &Path) -> Result<(), FileError> {
    let file = File::open(directory).map_err(FileError::of("open", directory))?;
    syncfs(file).map_err(FileError::of("sync the file system of", directory))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn links_lead_to_where_the_tablespaces_went() {
        let dir = tempfile::tempdir().unwrap();
        let to = |oid, to: &str| Tablespace { oid, from: "/from".into(), to: to.into() };
        make_links(dir.path(), &[to(16384, "/old"), to(16385, "/gone")]).unwrap();
        make_links(dir.path(), &[to(16384, "/ts/a")]).unwrap();
        assert_eq!(fs::read_link(dir.path().join("16384")).unwrap(), Path::new("/ts/a"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        make_links(Path::new("/nowhere/at/all"), &[]).unwrap();
    }

    #[test]
    fn a_server_that_starts_while_pg_control_goes_gets_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("global/pg_control");
        fs::create_dir(dir.path().join("global")).unwrap();
        fs::write(&control, "control").unwrap();
        let running =
            |pgdata: &Path| Err(NotATarget::Running { path: pgdata.to_owned(), pid: 1 }.into());
        assert!(disarm(dir.path(), b"77\n", &running).is_err());
        assert!(!dir.path().join(COPY_MARKER).exists(), "nothing was touched");

        let looks = Cell::new(0);
        let starts_late = |pgdata: &Path| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 { Ok(()) } else { running(pgdata) }
        };
        assert!(disarm(dir.path(), b"77\n", &starts_late).is_err());
        assert_eq!(fs::read(&control).unwrap(), b"control");
        assert!(!dir.path().join(COPY_MARKER).exists());

        disarm(dir.path(), b"77\n", &|_| Ok(())).unwrap();
        assert!(!control.exists() && dir.path().join(COPY_MARKER).exists());
        disarm(dir.path(), b"77\n", &|_| Ok(())).unwrap();
    }
}
