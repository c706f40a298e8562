use std::fs;
use std::io;
use std::path::Path;

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::FileError;
use crate::identifiers::random_id;

/// In the archive.
const MARK: &str = ".archive";
/// In the node's `local/replication`.
const MARKED: &str = "archive_id";

/// Gives an archive a mark and lets the node remember it: configStandby's part of
/// [`check_mark`].
///
/// The archive's own comes first: after a crash in between, a node that remembers none checks none, and
/// one that remembers another had no good archive before either. Doing it again mends both.
pub fn mark(archive: &Path, local_replication: &Path) -> Result<(), ArchiveError> {
    Archive::open(archive)?;
    let id = match read(&archive.join(MARK))?.as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => random_id()?,
    };
    // Also one that is there: whoever wrote it may have been killed before it was on disk.
    durable::write(&archive.join(MARK), format!("{id}\n").as_bytes())?;
    Ok(durable::write(&local_replication.join(MARKED), format!("{id}\n").as_bytes())?)
}

/// Whether this is the archive that configStandby prepared, and not the bare directory below the mount
/// point of its disk, which looks like an empty archive: what is put there vanishes when the disk is
/// back.
///
/// A node that remembers no mark, as one whose archive was made by hand, is not asked for one.
pub fn check_mark(archive: &Path, local_replication: &Path) -> Result<(), ArchiveError> {
    let Some(expected) = read(&local_replication.join(MARKED))? else {
        // Absent, and not on a disk that is gone itself.
        fs::read_dir(local_replication).map_err(FileError::of("read", local_replication))?;
        return Ok(());
    };
    Archive::open(archive)?;
    match read(&archive.join(MARK))? {
        Some(found) if found.trim() == expected.trim() && !found.trim().is_empty() => Ok(()),
        // The original distrib2warm brings the other node's memory here.
        Some(found) if !found.trim().is_empty() => Err(ArchiveError::AnotherMark {
            archive: archive.to_owned(),
            remembered: local_replication.join(MARKED),
        }),
        _ => Err(ArchiveError::NotThePrepared(archive.to_owned())),
    }
}

fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::of("read", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Node {
        _dir: tempfile::TempDir,
        archive: PathBuf,
        local: PathBuf,
    }

    impl Node {
        fn new() -> Node {
            let dir = tempfile::tempdir().unwrap();
            let [archive, local] = ["archive", "local"].map(|name| dir.path().join(name));
            fs::create_dir(&archive).unwrap();
            fs::create_dir(&local).unwrap();
            Node { _dir: dir, archive, local }
        }

        fn mark(&self) {
            mark(&self.archive, &self.local).unwrap();
        }

        fn check(&self) -> Result<(), ArchiveError> {
            check_mark(&self.archive, &self.local)
        }

        fn is_refused(&self) {
            let error = self.check().unwrap_err();
            assert!(error.is_retryable());
            for word in ["is not the one", "mount its disk", "configStandby"] {
                assert!(error.to_string().contains(word), "{error}");
            }
        }
    }

    #[test]
    fn the_bare_mount_point_is_not_the_archive() {
        let node = Node::new();
        node.mark();
        node.check().unwrap();
        let disk = node.archive.with_extension("disk");
        fs::rename(&node.archive, &disk).unwrap();
        assert!(matches!(node.check(), Err(ArchiveError::Missing(_))));
        fs::create_dir(&node.archive).unwrap();
        node.is_refused();
        fs::remove_dir(&node.archive).unwrap();
        fs::rename(&disk, &node.archive).unwrap();
        node.check().unwrap();
    }

    #[test]
    fn marking_again_changes_nothing() {
        let node = Node::new();
        node.mark();
        let before = fs::read(node.archive.join(MARK)).unwrap();
        node.mark();
        assert_eq!(fs::read(node.archive.join(MARK)).unwrap(), before);
        assert!(Archive::open(&node.archive).unwrap().names().unwrap().is_empty());
    }

    /// The original distrib2warm copies it along with the tree; configStandby would want a new base copy.
    #[test]
    fn a_memory_that_was_replaced_is_mended_by_the_archive_s_own_mark() {
        let node = Node::new();
        node.mark();
        fs::write(node.local.join(MARKED), "the other node's\n").unwrap();
        let error = node.check().unwrap_err().to_string();
        let [mark, memory] = [node.archive.join(MARK), node.local.join(MARKED)];
        for path in [&mark, &memory] {
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        fs::copy(mark, memory).unwrap();
        node.check().unwrap();
    }

    #[test]
    fn an_archive_made_by_hand_is_not_asked() {
        let node = Node::new();
        node.check().unwrap();
        // Nor is one that another node has marked.
        fs::write(node.archive.join(MARK), "other\n").unwrap();
        node.check().unwrap();
        // But a node that can't look whether it remembers one knows nothing.
        fs::remove_dir(&node.local).unwrap();
        assert!(matches!(node.check(), Err(ArchiveError::File(_))));
    }

    #[test]
    fn whatever_a_crash_leaves_is_mended_by_marking_again() {
        let leave: [fn(&Node); 5] = [
            |node| fs::remove_file(node.local.join(MARKED)).unwrap(),
            |node| fs::remove_file(node.archive.join(MARK)).unwrap(),
            |node| fs::write(node.archive.join(MARK), "another\n").unwrap(),
            |node| fs::write(node.archive.join(MARK), "").unwrap(),
            |node| fs::write(node.local.join(MARKED), "").unwrap(),
        ];
        for leave in leave {
            let node = Node::new();
            node.mark();
            leave(&node);
            if node.local.join(MARKED).exists() {
                node.is_refused();
            } else {
                node.check().unwrap();
            }
            node.mark();
            node.check().unwrap();
        }
    }
}
