use std::fs;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;
use crate::wal::{TimelineId, WalFileName};

/// How many timelines after a file's own are looked for.
const LATER: u32 = 32;

/// A WAL file to be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalFile {
    /// The name that it has in an archive.
    pub name: WalFileName,
    /// Where it is now.
    pub path: PathBuf,
}

impl WalFile {
    /// All WAL files of a directory, such as an archive: segments, `.partial`, history and backup files, in
    /// the order of their names. Other files are ignored.
    ///
    /// Not meant for the `pg_wal` of a running server, whose recycled segments have names of the future.
    ///
    /// # Errors
    /// If the directory can't be listed.
    pub fn list(directory: &Path) -> Result<Vec<WalFile>, FileError> {
        let failed = || FileError::of("list the directory", directory);
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                files.push(WalFile { name, path: entry.path() });
            }
        }
        files.sort_by_key(|file| file.name);
        Ok(files)
    }

    /// The histories of later timelines that the server has still to archive. Servers before 12 archive the last files of
    /// the old timeline first; but an archive that belongs to another node accepts nothing from a node that was promoted
    /// before the history shows it.
    pub(super) fn histories_to_ship_first(&self) -> Vec<WalFile> {
        let Some(directory) = self.path.parent().filter(|_| !self.is_history()) else {
            return Vec::new();
        };
        let own = self.name.timeline().number();
        let later = (1..=LATER).filter_map(|n| TimelineId::new(own.checked_add(n)?).ok());
        let history = |timeline| {
            let name = WalFileName::History(timeline);
            let ready = directory.join("archive_status").join(format!("{name}.ready"));
            ready.exists().then(|| WalFile { name, path: directory.join(name.to_string()) })
        };
        later.filter_map(history).collect()
    }

    /// The history of its timeline, if the server has one.
    pub(super) fn own_history(&self) -> Option<WalFile> {
        let name = WalFileName::History(self.name.timeline());
        let path = self.path.parent()?.join(name.to_string());
        (name != self.name && path.exists()).then_some(WalFile { name, path })
    }

    pub(super) fn is_history(&self) -> bool {
        matches!(self.name, WalFileName::History(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_that_wait_are_shipped_before_files_of_older_timelines() {
        let dir = tempfile::tempdir().unwrap();
        let status = dir.path().join("archive_status");
        fs::create_dir(&status).unwrap();
        let file =
            |name: &str| WalFile { name: name.parse().unwrap(), path: dir.path().join(name) };
        let first = |name: &str| {
            let files = file(name).histories_to_ship_first().into_iter();
            files.map(|file| file.name.to_string()).collect::<Vec<_>>()
        };
        let old = ["000000010000000000000005", "000000010000000000000005.partial"];
        assert_eq!(first(old[0]), [""; 0]);
        fs::write(status.join("00000002.history.done"), "").unwrap();
        fs::write(status.join("00000003.history.ready"), "").unwrap();
        for name in old.into_iter().chain(["000000020000000000000005"]) {
            assert_eq!(first(name), ["00000003.history"], "{name}");
        }
        for name in ["000000030000000000000005", "00000002.history", "00000003.history"] {
            assert_eq!(first(name), [""; 0], "{name}");
        }
        assert_eq!(file(old[0]).own_history(), None);
        fs::write(dir.path().join("00000003.history"), "").unwrap();
        let own = file("000000030000000000000005").own_history();
        assert_eq!(own, Some(file("00000003.history")));
        assert_eq!(file("00000003.history").own_history(), None);
    }
}
