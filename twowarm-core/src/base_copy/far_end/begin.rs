use std::fs;
use std::io;
use std::path::Path;

use super::FarEndError;
use crate::base_copy::Survey;
use crate::data_directory::own_tablespaces;
use crate::data_directory::{COPY_MARKER, CopyMarker, NotATarget, has_orphans, running_server};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::ship::wire::Hello;

/// Files of an earlier backup: with its label, the server would start replay at the wrong position.
const LABELS: [&str; 6] = [
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    ".twowarm-backup_label",
    ".twowarm-tablespace_map",
];

/// Makes sure that no server can be started in the target, before any of its files is changed.
pub(super) fn begin(
    pgdata: &Path,
    hello: &Hello,
    survey: &Survey,
    token: String,
) -> Result<(), FarEndError> {
    let unfinished =
        CopyMarker::read(pgdata)?.filter(|_| !pgdata.join("global/pg_control").exists());
    let mut tablespaces = own_tablespaces(pgdata, unfinished.as_ref());
    tablespaces.extend(survey.tablespaces.iter().map(|t| t.to.clone()));
    let marker = CopyMarker {
        system_identifier: hello.system_identifier,
        token,
        tablespaces: tablespaces.into_iter().collect(),
    };
    remove_control(pgdata, marker.text().as_bytes(), &no_server)?;
    for name in LABELS {
        durable::remove(&pgdata.join(name))?;
    }
    remove_links(&pgdata.join("pg_tblspc"))?;
    for tablespace in &survey.tablespaces {
        durable::create_directory(&tablespace.to)?;
    }
    Ok(())
}

/// Removes pg_control. Until then the old standby may be started, for example by a supervisor. If it was,
/// pg_control is restored.
fn remove_control(
    pgdata: &Path,
    marker: &[u8],
    no_server: &dyn Fn(&Path) -> Result<(), FarEndError>,
) -> Result<(), FarEndError> {
    no_server(pgdata)?;
    let (control, marker_file) = (pgdata.join("global/pg_control"), pgdata.join(COPY_MARKER));
    let bytes = if_exists(fs::read(&control)).map_err(FileError::of("read", &control))?;
    durable::write(&marker_file, marker)?;
    durable::remove(&control)?;
    // A server that is started from now on fails.
    let started = no_server(pgdata);
    if let (Err(_), Some(bytes)) = (&started, bytes) {
        durable::write(&control, &bytes)?;
        durable::remove(&marker_file)?;
    }
    started
}

pub(super) fn no_server(pgdata: &Path) -> Result<(), FarEndError> {
    match running_server(pgdata)? {
        Some(server) => {
            Err(NotATarget::Running { path: pgdata.to_owned(), pid: server.pid }.into())
        }
        None if has_orphans(pgdata)? => Err(NotATarget::Orphans(pgdata.to_owned()).into()),
        None => Ok(()),
    }
}

/// Removes the links to tablespaces. The server creates them again from tablespace_map, or the far end when it
/// finishes the copy; those of dropped tablespaces would remain.
pub(super) fn remove_links(directory: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = if_exists(entries).map_err(FileError::of("list", directory))?;
    for entry in entries.into_iter().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn pg_control_is_restored_for_a_server_that_was_started_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("global/pg_control");
        fs::create_dir(dir.path().join("global")).unwrap();
        fs::write(&control, "control").unwrap();
        let running =
            |pgdata: &Path| Err(NotATarget::Running { path: pgdata.to_owned(), pid: 1 }.into());
        assert!(remove_control(dir.path(), b"77\n", &running).is_err());
        assert!(!dir.path().join(COPY_MARKER).exists(), "nothing was changed");

        let checks = Cell::new(0);
        let starts_late = |pgdata: &Path| {
            checks.set(checks.get() + 1);
            if checks.get() == 1 { Ok(()) } else { running(pgdata) }
        };
        assert!(remove_control(dir.path(), b"77\n", &starts_late).is_err());
        assert_eq!(fs::read(&control).unwrap(), b"control");
        assert!(!dir.path().join(COPY_MARKER).exists());

        remove_control(dir.path(), b"77\n", &|_| Ok(())).unwrap();
        assert!(!control.exists() && dir.path().join(COPY_MARKER).exists());
        remove_control(dir.path(), b"77\n", &|_| Ok(())).unwrap();
    }
}
