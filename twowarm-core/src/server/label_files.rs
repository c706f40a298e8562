//! The files that a backup before 9.6 creates in the primary's data directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ServerError;
use crate::data_directory::STATE_PREFIX;
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::wal::BackupLabel;

const LABEL: &str = "backup_label";
const MAP: &str = "tablespace_map";

/// The backup_label in a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Ours,
}

/// Recognizes a backup by its label; that of another program is an error.
pub(super) fn look(pgdata: &Path, ours: &str) -> Result<Found, ServerError> {
    let Some(text) = read(&pgdata.join(LABEL))? else { return Ok(Found::Nothing) };
    // The label is in the fourth or a later line, and may be any text.
    let parsed = BackupLabel::parse(&text).ok();
    let line = |found: Option<std::borrow::Cow<'_, str>>| {
        found.map_or("unknown".to_owned(), |text| text.into_owned())
    };
    let name = line(parsed.as_ref().and_then(BackupLabel::label));
    if name == ours {
        return Ok(Found::Ours);
    }
    let since = line(parsed.as_ref().and_then(BackupLabel::start_time));
    Err(ServerError::AnotherBackup { label: pgdata.join(LABEL), name, since })
}

/// Whether backup_label exists under its own name.
pub(super) fn is_in_place(pgdata: &Path) -> bool {
    pgdata.join(LABEL).symlink_metadata().is_ok()
}

/// Whether a label is kept under our name.
pub(super) fn is_kept(pgdata: &Path) -> bool {
    kept(pgdata, LABEL).symlink_metadata().is_ok()
}

/// Renames both files to our names and returns their content. backup_label is first: without it no server reads
/// tablespace_map.
pub(super) fn keep(pgdata: &Path) -> Result<(Vec<u8>, Vec<u8>), FileError> {
    let keep_one = |name| -> Result<Vec<u8>, FileError> {
        let path = pgdata.join(name);
        let Some(bytes) = read(&path)? else {
            durable::remove(&kept(pgdata, name))?;
            return Ok(Vec::new());
        };
        fs::rename(&path, kept(pgdata, name)).map_err(FileError::of("rename", &path))?;
        // A rename between two links to the same file removes neither.
        durable::remove(&path)?;
        durable::sync_directory(pgdata)?;
        Ok(bytes)
    };
    Ok((keep_one(LABEL)?, keep_one(MAP)?))
}

/// Restores both files under their own names, and keeps them under ours. A label that was created since is
/// another backup's.
pub(super) fn put_back(pgdata: &Path, ours: &str) -> Result<(), ServerError> {
    for name in [MAP, LABEL] {
        let (kept, path) = (kept(pgdata, name), pgdata.join(name));
        // A link, so that the owner is the same.
        match fs::hard_link(&kept, &path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => look(pgdata, ours).map(drop)?,
            linked => linked.map_err(FileError::of("create", &path))?,
        }
    }
    Ok(durable::sync_directory(pgdata)?)
}

/// Removes the kept files after the end of the backup.
pub(super) fn forget(pgdata: &Path) -> Result<(), FileError> {
    [LABEL, MAP].into_iter().try_for_each(|name| durable::remove(&kept(pgdata, name)))
}

/// Removes kept files that are older than the running server: their backup ended with an earlier one. With them
/// a backup of another program, whose label is missing, would be taken for ours.
pub(super) fn forget_earlier_server(pgdata: &Path) -> Result<(), FileError> {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let kept = modified(&kept(pgdata, LABEL));
    match kept.zip(modified(&pgdata.join("postmaster.pid"))) {
        Some((kept, started)) if kept < started => forget(pgdata),
        _ => Ok(()),
    }
}

/// Removes the files of a backup that ended with its server.
pub(super) fn remove_ours(pgdata: &Path, ours: &str) -> Result<(), ServerError> {
    if let Ok(Found::Ours) = look(pgdata, ours) {
        [LABEL, MAP].into_iter().try_for_each(|name| durable::remove(&pgdata.join(name)))?;
    }
    Ok(forget(pgdata)?)
}

fn kept(pgdata: &Path, name: &str) -> PathBuf {
    pgdata.join(format!("{STATE_PREFIX}-{name}"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    if_exists(fs::read(path)).map_err(FileError::of("read", path))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OURS: &str = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                        CHECKPOINT LOCATION: 0/2000060\nSTART TIME: 2011-05-06 07:08:09 CEST\n\
                        LABEL: twowarm\n";

    #[test]
    fn a_label_is_recognized_and_that_of_another_backup_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(dir.path().join(LABEL), text).unwrap();
        assert_eq!(look(dir.path(), "twowarm").unwrap(), Found::Nothing);
        write(OURS);
        assert_eq!(look(dir.path(), "twowarm").unwrap(), Found::Ours);
        let others = ["twowarm-ish", "nightly\nLABEL: twowarm", ""];
        for other in others.map(|name| OURS.replace("twowarm", name)).iter().chain([&"x".into()]) {
            write(other);
            let error = look(dir.path(), "twowarm").unwrap_err().to_string();
            assert!(error.contains("pg_stop_backup"), "{error}");
            assert!(error.contains("2011-05-06 07:08:09 CEST") || other == "x", "{error}");
        }
    }

    #[test]
    fn files_are_kept_and_put_back_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at(LABEL), OURS).unwrap();
        fs::write(at(MAP), "16384 /ts\n").unwrap();
        // From an earlier backup, which had tablespaces.
        fs::write(kept(dir.path(), MAP), "old").unwrap();
        let (label, map) = keep(dir.path()).unwrap();
        assert_eq!((label.as_slice(), map.as_slice()), (OURS.as_bytes(), &b"16384 /ts\n"[..]));
        assert!(!at(LABEL).exists() && !at(MAP).exists() && is_kept(dir.path()));
        put_back(dir.path(), "twowarm").unwrap();
        assert_eq!(fs::read(at(LABEL)).unwrap(), label);
        assert_eq!(fs::read(at(MAP)).unwrap(), map);
        // Again, after an interruption or an error of the server.
        put_back(dir.path(), "twowarm").unwrap();
        assert_eq!(keep(dir.path()).unwrap(), (label, map));
        assert!(!at(LABEL).exists() && !at(MAP).exists() && is_kept(dir.path()));
        put_back(dir.path(), "twowarm").unwrap();
        remove_ours(dir.path(), "twowarm").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn kept_files_of_an_earlier_server_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LABEL), OURS).unwrap();
        let pid_file = dir.path().join("postmaster.pid");
        fs::write(&pid_file, "1\n").unwrap();
        keep(dir.path()).unwrap();
        let since = kept(dir.path(), LABEL).metadata().unwrap().modified().unwrap();
        let start = |time| fs::File::open(&pid_file).unwrap().set_modified(time).unwrap();
        start(since - Duration::from_secs(1));
        forget_earlier_server(dir.path()).unwrap();
        assert!(is_kept(dir.path()));
        start(since + Duration::from_secs(1));
        forget_earlier_server(dir.path()).unwrap();
        assert!(!is_kept(dir.path()));
    }

    #[test]
    fn the_label_of_another_backup_is_neither_replaced_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let label = dir.path().join(LABEL);
        fs::write(&label, OURS).unwrap();
        keep(dir.path()).unwrap();
        let theirs = OURS.replace("twowarm", "nightly");
        fs::write(&label, &theirs).unwrap();
        let error = put_back(dir.path(), "twowarm").unwrap_err().to_string();
        assert!(error.contains("nightly"), "{error}");
        remove_ours(dir.path(), "twowarm").unwrap();
        assert_eq!(fs::read_to_string(&label).unwrap(), theirs);
        assert!(!is_kept(dir.path()));
    }
}
