use std::path::{Path, PathBuf};

use crate::data_directory::write_for_server;
use crate::durable;
use crate::file_error::{FileError, if_exists};

/// The switch that makes a primary ship its WAL, on a node that is being promoted.
///
/// Without it archive_command succeeds and the server recycles its WAL: the history of the new timeline and its first
/// WAL are lost to the other nodes. With it a primary that no node can follow keeps all its WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivingSwitch {
    /// The file `archiving_active`.
    pub file: PathBuf,
    /// Whether there is a DR node, which follows.
    pub has_dr_node: bool,
}

/// Whether a new primary ships its WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Archiving {
    /// To the old primary, which was shut down cleanly and can rejoin, and to the DR node if there is one.
    ForOldPrimary,
    /// To the DR node.
    ForDrNode,
    /// Not before another node gets a base copy or rejoins.
    Off,
}

impl ArchivingSwitch {
    /// Creates the file durably or removes it. `can_rejoin` is whether this node replays all WAL of a primary that was
    /// shut down cleanly.
    pub(super) fn set(
        &self,
        data_directory: &Path,
        can_rejoin: bool,
    ) -> Result<Archiving, FileError> {
        let archiving = match (can_rejoin, self.has_dr_node) {
            (true, _) => Archiving::ForOldPrimary,
            (false, true) => Archiving::ForDrNode,
            (false, false) => {
                durable::remove(&self.file)?;
                return Ok(Archiving::Off);
            }
        };
        let found = if_exists(std::fs::symlink_metadata(&self.file));
        if found.map_err(FileError::of("look for", &self.file))?.is_none() {
            write_for_server(data_directory, &self.file, b"")?;
        }
        Ok(archiving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archiving_is_on_if_a_node_can_follow() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("archiving_active");
        let set = |has_dr_node, can_rejoin| {
            let switch = ArchivingSwitch { file: file.clone(), has_dr_node };
            (switch.set(dir.path(), can_rejoin).unwrap(), file.exists())
        };
        assert_eq!(set(false, false), (Archiving::Off, false));
        assert_eq!(set(false, true), (Archiving::ForOldPrimary, true));
        assert_eq!(set(true, false), (Archiving::ForDrNode, true));
        assert_eq!(set(true, true), (Archiving::ForOldPrimary, true));
        assert_eq!(set(false, false), (Archiving::Off, false));
        let missing = ArchivingSwitch { file: dir.path().join("no/file"), has_dr_node: true };
        missing.set(dir.path(), false).unwrap_err();
    }
}
