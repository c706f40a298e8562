use std::fs;
use std::path::Path;

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::identifiers::random_id;

/// The file in the archive.
const MARK: &str = ".archive";
/// The file in the node's `local/replication`.
const STORED_MARK: &str = "archive_id";

/// Marks an archive with a random id and stores the id on the node, for [`check_mark`]. It can be repeated
/// after a crash.
///
/// The archive's file is written first: a node without a stored id checks nothing, and a node with another
/// one had no valid archive before either.
///
/// # Errors
/// If the archive is missing, or a file can't be read or written.
pub fn mark(archive: &Path, local_replication: &Path) -> Result<(), ArchiveError> {
    Archive::open(archive)?;
    let id = match read(&archive.join(MARK))?.as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => random_id()?,
    };
    // An existing one too: its writer may have been killed before it was on disk.
    durable::write(&archive.join(MARK), format!("{id}\n").as_bytes())?;
    Ok(durable::write(&local_replication.join(STORED_MARK), format!("{id}\n").as_bytes())?)
}

/// Whether an archive has a mark, or an empty file that asks for one.
#[cfg(feature = "ship")]
pub(crate) fn has_mark(archive: &Path) -> Result<bool, ArchiveError> {
    Archive::open(archive)?;
    Ok(read(&archive.join(MARK))?.is_some())
}

/// Whether a node has stored a mark.
#[cfg(any(feature = "ship", feature = "server"))]
pub(crate) fn is_marked_for(local_replication: &Path) -> Result<bool, FileError> {
    Ok(read(&local_replication.join(STORED_MARK))?.is_some())
}

/// Checks that an archive has the mark that the node has stored. The empty mount point of an archive whose
/// disk is not mounted has none: files stored there would be hidden when the disk is mounted again.
///
/// Without a stored mark, as on a node whose archive was created by hand, any archive passes.
///
/// # Errors
/// If the archive is missing, has no mark or another one, or a file can't be read.
pub fn check_mark(archive: &Path, local_replication: &Path) -> Result<(), ArchiveError> {
    let Some(expected) = read(&local_replication.join(STORED_MARK))? else {
        // Its directory must be readable: it could be on an unmounted disk itself.
        fs::read_dir(local_replication).map_err(FileError::of("read", local_replication))?;
        return Ok(());
    };
    Archive::open(archive)?;
    match read(&archive.join(MARK))? {
        Some(found) if found.trim() == expected.trim() && !found.trim().is_empty() => Ok(()),
        // The original distrib2warm overwrites this node's file with the other node's.
        Some(found) if !found.trim().is_empty() => Err(ArchiveError::AnotherMark {
            archive: archive.to_owned(),
            stored: local_replication.join(STORED_MARK),
        }),
        _ => Err(ArchiveError::NotPrepared(archive.to_owned())),
    }
}

fn read(path: &Path) -> Result<Option<String>, FileError> {
    let text = if_exists(fs::read(path)).map_err(FileError::of("read", path))?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::retry::Retryable;

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
    fn an_empty_mount_point_is_not_the_archive() {
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

    /// The original distrib2warm copies the file with the tree; configStandby would need a new base copy.
    #[test]
    fn a_stored_mark_that_was_overwritten_can_be_restored_from_the_archive() {
        let node = Node::new();
        node.mark();
        fs::write(node.local.join(STORED_MARK), "the other node's\n").unwrap();
        let error = node.check().unwrap_err().to_string();
        let [mark, stored] = [node.archive.join(MARK), node.local.join(STORED_MARK)];
        for path in [&mark, &stored] {
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        fs::copy(mark, stored).unwrap();
        node.check().unwrap();
    }

    #[test]
    fn an_archive_created_by_hand_needs_no_mark() {
        let node = Node::new();
        node.check().unwrap();
        // Nor does one that another node has marked.
        fs::write(node.archive.join(MARK), "other\n").unwrap();
        node.check().unwrap();
        // Whether the node has stored a mark must be readable.
        fs::remove_dir(&node.local).unwrap();
        assert!(matches!(node.check(), Err(ArchiveError::File(_))));
    }

    #[test]
    fn marking_again_repairs_any_state_after_a_crash() {
        let leave: [fn(&Node); 5] = [
            |node| fs::remove_file(node.local.join(STORED_MARK)).unwrap(),
            |node| fs::remove_file(node.archive.join(MARK)).unwrap(),
            |node| fs::write(node.archive.join(MARK), "another\n").unwrap(),
            |node| fs::write(node.archive.join(MARK), "").unwrap(),
            |node| fs::write(node.local.join(STORED_MARK), "").unwrap(),
        ];
        for leave in leave {
            let node = Node::new();
            node.mark();
            leave(&node);
            if node.local.join(STORED_MARK).exists() {
                node.is_refused();
            } else {
                node.check().unwrap();
            }
            node.mark();
            node.check().unwrap();
        }
    }
}
