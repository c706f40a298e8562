//! What only an old primary has: WAL that it did not archive. It is set aside before its data directory is overwritten.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::data_directory::STATE_PREFIX;
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::wal::{Expected, SegmentName, read_segment_header};

/// A directory in the data directory, created when something is moved into it. No base copy overwrites it.
#[derive(Debug)]
pub(super) struct SetAside {
    directory: PathBuf,
}

impl SetAside {
    /// The first name that does not exist: what an earlier run has set aside is kept.
    pub(super) fn new(data_directory: &Path) -> SetAside {
        let named = |n: u32| data_directory.join(format!("{STATE_PREFIX}-unarchived-{n}"));
        let directory = (1..).map(named).find(|path| path.symlink_metadata().is_err());
        SetAside {
            directory: directory.expect("a directory has fewer entries than there are numbers"),
        }
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Moves a file into the directory.
    pub(super) fn take(&self, file: &Path) -> Result<(), FileError> {
        durable::create_directory(&self.directory)?;
        let to = self.directory.join(file.file_name().unwrap_or_default());
        match fs::rename(file, &to) {
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                let content = fs::read(file).map_err(FileError::of("read", file))?;
                durable::write(&to, &content)?;
                durable::remove(file)
            }
            renamed => {
                renamed.map_err(FileError::of("move", file))?;
                durable::sync_directory(&self.directory)?;
                file.parent().map_or(Ok(()), durable::sync_directory)
            }
        }
    }
}

/// The files of a WAL directory that its server did not archive, by `archive_status`. Of a primary's (`all`) also the
/// segments that it did not complete. Recycled segments, which contain no WAL of their name, are left out.
pub(super) fn unarchived(wal: &Path, all: bool) -> Result<Vec<PathBuf>, FileError> {
    let status = wal.join("archive_status");
    let states = if_exists(names_in(&status)).map_err(FileError::of("list", &status))?;
    let states = states.unwrap_or_default();
    let has = |name: &str, state: &str| states.iter().any(|s| *s == *format!("{name}.{state}"));
    let names = names_in(wal).map_err(FileError::of("list", wal))?;
    let mut found: Vec<PathBuf> = Vec::new();
    for name in names.iter().filter_map(|name| name.to_str()) {
        let path = wal.join(name);
        let is_wanted =
            has(name, "ready") || (all && !has(name, "done") && contains_its_segment(&path, name)?);
        if is_wanted {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Whether a file is named as a segment and begins as that.
fn contains_its_segment(path: &Path, name: &str) -> Result<bool, FileError> {
    let Ok(name) = name.parse::<SegmentName>() else { return Ok(false) };
    let mut file = File::open(path).map_err(FileError::of("open", path))?;
    let header = read_segment_header(&mut file, name, &Expected::default());
    Ok(header.map_err(FileError::of("read", path))?.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// A segment of PostgreSQL 15 with a valid first page.
    fn segment(number: u64) -> Vec<u8> {
        let mut bytes = vec![0; MIB];
        bytes[..8].copy_from_slice(&[0x10, 0xd1, 2, 0, 1, 0, 0, 0]);
        bytes[8..16].copy_from_slice(&(number * MIB as u64).to_le_bytes());
        bytes[24..32].copy_from_slice(&77_u64.to_le_bytes());
        bytes[32..36].copy_from_slice(&(MIB as u32).to_le_bytes());
        bytes[36..40].copy_from_slice(&8192_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn wal_that_is_nowhere_else_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("pg_wal");
        fs::create_dir_all(wal.join("archive_status")).unwrap();
        let name = |n: u64| format!("0000000100000000{n:08X}");
        for n in 3..=5 {
            fs::write(wal.join(name(n)), segment(n)).unwrap();
        }
        // Recycled: the next name, and the content of an earlier segment.
        fs::write(wal.join(name(6)), segment(2)).unwrap();
        fs::write(wal.join("00000001.history"), "").unwrap();
        for state in [
            format!("{}.done", name(3)),
            format!("{}.ready", name(4)),
            "00000001.history.ready".into(),
        ] {
            fs::write(wal.join("archive_status").join(state), "").unwrap();
        }
        let names = |paths: Vec<PathBuf>| -> Vec<String> {
            paths.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let history = "00000001.history".to_owned();
        let ready = names(unarchived(&wal, false).unwrap());
        assert_eq!(
            ready,
            [name(4), history.clone()]
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        let all = unarchived(&wal, true).unwrap();
        let mut expected = vec![name(4), name(5), history];
        expected.sort();
        assert_eq!(names(all.clone()), expected);

        let first = SetAside::new(dir.path());
        all.iter().for_each(|path| first.take(path).unwrap());
        assert!(all.iter().all(|path| !path.exists()));
        assert_eq!(fs::read(first.path().join(name(5))).unwrap(), segment(5));
        let second = SetAside::new(dir.path());
        assert_ne!(first.path(), second.path());
    }
}
