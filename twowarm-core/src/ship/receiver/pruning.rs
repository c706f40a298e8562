//! Removing old segments from an archive without a standby, such as one that is kept for point-in-time recovery only.

use std::path::Path;

use super::Receiver;
use crate::archive::{self, Archive, ArchiveError, Consumer};
use crate::data_directory::{COPY_MARKER, IdentityError, REMEMBERED, Role, identity, role_of};
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
        if !matches!(has_cluster(directory), Ok(false)) || !matches!(self.had_standby(), Ok(false))
        {
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

    /// Whether this node has or had a standby: configStandby has marked its archive, or restoreWALFile has run. Without a
    /// cluster in its data directory the disk of that is not mounted.
    pub(super) fn had_standby(&self) -> Result<bool, ArchiveError> {
        let file = self.local_replication.join(REMEMBERED);
        let is_remembered = file.try_exists().map_err(FileError::of("look for", &file))?;
        Ok(is_remembered || archive::is_marked_for(&self.local_replication)?)
    }
}

/// Whether a directory holds a cluster, or is to get one.
pub(super) fn has_cluster(directory: &Path) -> Result<bool, IdentityError> {
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
    use crate::archive::Machines;
    use crate::prune::Keep;
    use crate::wal::SegmentSize;

    /// The disk of the data directory of a standby is not mounted: its archive must not be pruned without it.
    #[test]
    fn only_an_archive_that_never_had_a_standby_is_pruned_by_its_receiver() {
        let layout = SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT);
        let name = |number: u32| format!("0000000100000000{number:08X}");
        for (marked, remembered) in [(false, false), (true, false), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let [directory, local] = ["archive", "local"].map(|name| dir.path().join(name));
            for made in [&directory, &local] {
                fs::create_dir(made).unwrap();
            }
            if marked {
                archive::mark(&directory, &local).unwrap();
            }
            if remembered {
                fs::write(local.join(REMEMBERED), "/pg/data\n").unwrap();
            }
            for number in 1..10 {
                fs::write(directory.join(name(number)), "").unwrap();
            }
            let receiver = Receiver {
                archive: directory.clone(),
                local_replication: local,
                data_directory: Some(dir.path().join("data")),
                label: "db3".into(),
                node_id: "db3".parse().unwrap(),
                machines: Machines::One,
                retain: Keep { segments: Some(3), ..Keep::default() },
            };
            let archive = Archive::open(&directory).unwrap();
            receiver.prune(&archive, name(9).parse().unwrap(), layout);
            let is_pruned = !directory.join(name(2)).exists();
            assert_eq!(is_pruned, !marked && !remembered, "{marked} {remembered}");
            assert!(directory.join(name(7)).exists());
        }
    }

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
