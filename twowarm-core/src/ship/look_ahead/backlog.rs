use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ship::WalFile;
use crate::wal::WalFileName;

/// The most files that one listing returns.
const MOST: usize = 256;

/// The files that a server has still to archive. It creates `archive_status/NAME.ready` when a file is complete, and
/// renames that to `NAME.done` when archive_command has succeeded.
#[derive(Debug, Clone)]
pub(super) struct Backlog {
    /// `pg_wal`, or `pg_xlog` before 10.
    directory: PathBuf,
}

impl Backlog {
    /// The backlog that this file is part of.
    pub(super) fn of(file: &WalFile) -> Option<Backlog> {
        file.path.parent().map(|directory| Backlog { directory: directory.to_owned() })
    }

    /// Whether another file than this one waits.
    pub(super) fn has_others(&self, than: WalFileName) -> bool {
        self.names().is_ok_and(|mut names| names.any(|name| name != than))
    }

    /// The first files, in the order in which they are to be shipped: timeline history files first, the others by
    /// name, as the server's archiver does. The server, too, ignores files that do not exist.
    pub(super) fn files(&self) -> io::Result<Vec<WalFile>> {
        let mut names: Vec<WalFileName> = self.names()?.collect();
        let is_history = |name: &WalFileName| matches!(name, WalFileName::History(_));
        names.sort_by_cached_key(|name| (!is_history(name), name.to_string()));
        let file = |name: WalFileName| WalFile { name, path: self.path(name) };
        Ok(names.into_iter().map(file).filter(|file| file.path.exists()).take(MOST).collect())
    }

    fn path(&self, name: WalFileName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    fn names(&self) -> io::Result<impl Iterator<Item = WalFileName>> {
        let entries = fs::read_dir(self.directory.join(Path::new("archive_status")))?;
        Ok(entries.filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_suffix(".ready")?.parse().ok()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_come_first_and_the_others_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file =
            |name: &str| WalFile { name: name.parse().unwrap(), path: dir.path().join(name) };
        let names = [
            "00000002.history",
            "000000010000000000000003",
            "000000010000000000000003.00000028.backup",
            "000000010000000000000004",
        ];
        let backlog = Backlog::of(&file(names[1])).unwrap();
        assert!(!backlog.has_others(file(names[1]).name), "no archive_status");
        let status = dir.path().join("archive_status");
        fs::create_dir(&status).unwrap();
        for name in [names[1], "x", "000000010000000000000002.done"] {
            fs::write(status.join(name), "").unwrap();
        }
        fs::write(status.join(format!("{}.ready", names[1])), "").unwrap();
        assert!(!backlog.has_others(file(names[1]).name));
        for name in names {
            fs::write(dir.path().join(name), "").unwrap();
            fs::write(status.join(format!("{name}.ready")), "").unwrap();
        }
        fs::write(status.join("000000010000000000000002.ready"), "").unwrap();
        assert!(backlog.has_others(file(names[1]).name));
        assert_eq!(backlog.files().unwrap(), names.map(file));
    }
}
