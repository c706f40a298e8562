//! Removing old segments from an archive without a standby, such as one that is kept for point-in-time recovery only.

use std::path::Path;

use super::Receiver;
use crate::archive::{Archive, ArchiveError, Consumer};
use crate::data_directory::{COPY_MARKER, IdentityError, Role, identity, role_of};
use crate::file_error::FileError;
use crate::prune::{Floor, Prune, RestartPoint, Retention};
use crate::wal::{SegmentLayout, SegmentName};

impl Receiver {
    /// Removes what the retention allows, after this segment was stored. An error is only logged: the next segment tries
    /// again.
    pub(super) fn prune(&self, archive: &Archive, stored: SegmentName, layout: SegmentLayout) {
        let Some(directory) = self.data_directory.as_deref().filter(|_| self.retain.is_set())
        else {
            return;
        };
        // The WAL of a base copy that is being made is needed from its start on, and pg_control comes last.
        if !matches!(has_cluster(directory), Ok(false)) {
            return;
        }
        let prune = || {
            let consumers = archive.consumers()?;
            let mut floors: Vec<Floor> = consumers.iter().map(Consumer::floor).collect();
            floors.extend(self.retain.floors(archive.path(), stored, layout, Some(directory)));
            let retention = Retention {
                restored: stored,
                restart_point: RestartPoint::At(stored),
                layout: Some(layout),
                keep: 0,
                floors: &floors,
            };
            if let Some(prune) = Prune::after_restore(&retention) {
                prune
                    .run(archive.path(), &mut |path| log::debug!("removing {}", path.display()))?;
            }
            Ok::<(), ArchiveError>(())
        };
        if let Err(e) = prune() {
            log::warn!("could not prune the archive: {e}");
        }
    }
}

/// Whether a directory holds a cluster, or is to get one.
fn has_cluster(directory: &Path) -> Result<bool, IdentityError> {
    if identity(directory)?.is_some() || role_of(directory)? == Role::Standby {
        return Ok(true);
    }
    for name in [COPY_MARKER, "PG_VERSION"] {
        let path = directory.join(name);
        if path.try_exists().map_err(FileError::of("look for", &path))? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_that_is_to_get_a_cluster_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let pgdata = dir.path();
        assert!(!has_cluster(&pgdata.join("missing")).unwrap());
        assert!(!has_cluster(pgdata).unwrap());
        for name in ["standby.signal", "recovery.conf", COPY_MARKER, "PG_VERSION"] {
            fs::write(pgdata.join(name), "15\n").unwrap();
            assert!(has_cluster(pgdata).unwrap(), "{name}");
            fs::remove_file(pgdata.join(name)).unwrap();
        }
    }
}
