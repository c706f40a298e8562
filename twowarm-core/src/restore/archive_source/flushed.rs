//! The last segment of a primary that flushPrimary has stopped. Its archive has it as `NAME.partial`, with a receipt:
//! under its plain name it would end the recovery of a standby in warm mode without an order.

use std::fs::{self, File};
use std::io;

use super::ArchiveSource;
use crate::archive::Archive;
use crate::data_directory::Identity;
use crate::receipt::Receipt;
use crate::restore::Found;
use crate::wal::{SegmentName, WalFileName};

impl ArchiveSource<'_> {
    /// Whether the requested segment is the one of the receipt in this archive, and from this cluster. Must be called only
    /// while recovery is to end.
    pub(super) fn is_of_receipt(&self) -> bool {
        let WalFileName::Segment(name) = self.request.name else { return false };
        let receipt = Receipt::in_archive(self.archive).unwrap_or_else(|error| {
            log::error!("{error}. The WAL of the last segment of a stopped primary is not used");
            None
        });
        let cluster = self.cluster.as_ref().map(|cluster| cluster.system_identifier);
        let layout = self.cluster.as_ref().and_then(Identity::layout);
        receipt.is_some_and(|receipt| {
            receipt.segment == name
                && Some(receipt.system_identifier) == cluster
                && layout.is_none_or(|layout| receipt.is_within_segment(layout))
                && self.archive.join(WalFileName::Partial(name).to_string()).exists()
        })
    }

    /// Whether the archive has WAL from after the requested segment: the old primary was started again, and the receipt could
    /// not be made void here. Other nodes may have the whole segment.
    pub(super) fn is_continued(&self) -> bool {
        let WalFileName::Segment(name) = self.request.name else { return false };
        let segments = Archive::open(self.archive).and_then(|archive| archive.segments());
        let is_later = |other: &SegmentName| other.timeline == name.timeline && *other > name;
        segments.is_ok_and(|segments| segments.iter().any(is_later))
    }

    /// From now on the `.partial` file of the requested segment is restored, unless the segment itself arrives.
    pub(super) fn use_flushed(&mut self) -> Found {
        self.is_flushed = true;
        if let WalFileName::Segment(name) = self.request.name {
            log::info!(
                "{} is restored as {name}: it is the last segment of the old primary, which was stopped by flushPrimary",
                WalFileName::Partial(name)
            );
        }
        Found::Ready
    }

    /// Opens that `.partial` file, if it is to be restored.
    pub(super) fn open_flushed(&self) -> Result<Option<(File, fs::Metadata)>, Found> {
        let (WalFileName::Segment(name), true) = (self.request.name, self.is_flushed) else {
            return Ok(None);
        };
        let opened = File::open(self.archive.join(WalFileName::Partial(name).to_string()))
            .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.unreadable(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::archive::{FetchStep, OtherArchive, ScratchFile, Stored, Wanted};
    use crate::prune::RestartPoint;
    use crate::receipt::{ReceiptFile, ReceiptId};
    use crate::restore::archive_process::NoEvents;
    use crate::restore::{Order, RestoreRequest, Source, StandbyRestore};
    use crate::wal::Lsn;

    const SEGMENT: &str = "00000002000000000000001C";

    struct Bed {
        _dir: tempfile::TempDir,
        restore: StandbyRestore,
        tail: Vec<u8>,
    }

    impl Bed {
        fn new() -> Bed {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
            let dir = tempfile::tempdir().unwrap();
            let [archive, pgdata] = ["archive", "data"].map(|name| dir.path().join(name));
            fs::create_dir(&archive).unwrap();
            fs::create_dir_all(pgdata.join("global")).unwrap();
            fs::copy(sample.join("pg_control"), pgdata.join("global/pg_control")).unwrap();
            let packed = fs::read(sample.join(format!("wal/{SEGMENT}.partial.zst"))).unwrap();
            let tail = zstd::decode_all(&packed[..]).unwrap();
            fs::write(archive.join(format!("{SEGMENT}.partial")), &tail).unwrap();
            let request = RestoreRequest {
                name: SEGMENT.parse().unwrap(),
                target: dir.path().join("RECOVERYXLOG"),
                restart_point: RestartPoint::Absent,
            };
            let restore = StandbyRestore::new(request, pgdata, archive);
            Bed { _dir: dir, restore, tail }
        }

        fn receipt(&self) -> Receipt {
            let control = crate::data_directory::control_file(&self.restore.data_directory);
            let segment: SegmentName = SEGMENT.parse().unwrap();
            Receipt {
                system_identifier: control.unwrap().unwrap().system_identifier,
                timeline: segment.timeline,
                segment,
                checkpoint: Lsn(0x1C0_0028),
                end: Lsn(0x1C0_00A0),
                node_id: "near".parse().unwrap(),
                label: "db1".into(),
                id: ReceiptId::random().unwrap(),
            }
        }

        fn store(&self, receipt: &Receipt) {
            ReceiptFile::in_archive(&self.restore.archive).write(receipt).unwrap();
        }

        /// What is found while this order is in force.
        fn found(&self, order: &Order) -> Found {
            let mut source = ArchiveSource::new(&self.restore);
            match source.look(&NoEvents) {
                Found::Absent if source.fetch(order, &Found::Absent) == Found::Ready => {
                    let found = source.look(&NoEvents);
                    source.restore(false).unwrap();
                    assert_eq!(fs::read(&self.restore.request.target).unwrap(), self.tail);
                    found
                }
                found => found,
            }
        }
    }

    #[test]
    fn the_tail_is_restored_only_while_recovery_is_to_end() {
        let bed = Bed::new();
        assert_eq!(bed.found(&Order::EndWhenAbsent), Found::Absent, "without a receipt");
        bed.store(&bed.receipt());
        for order in [Order::Wait, Order::Unsettled] {
            assert_eq!(bed.found(&order), Found::Absent);
        }
        for order in [Order::EndWhenAbsent, Order::EndNow { serve_again: true }] {
            assert_eq!(bed.found(&order), Found::Ready);
        }
        let archive = Archive::open(&bed.restore.archive).unwrap();
        let names: Vec<_> = archive.names().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, [format!("{SEGMENT}.partial")]);
    }

    #[test]
    fn a_receipt_for_something_else_is_ignored() {
        let bed = Bed::new();
        let receipt = bed.receipt();
        let next = "00000002000000000000001D".parse().unwrap();
        for other in [
            Receipt { system_identifier: 42, ..receipt.clone() },
            Receipt { segment: next, ..receipt.clone() },
            Receipt { end: Lsn(0x1D0_00A0), ..receipt.clone() },
        ] {
            bed.store(&other);
            assert_eq!(bed.found(&Order::EndWhenAbsent), Found::Absent);
        }
        fs::write(bed.restore.archive.join(".receipt"), "version=1\n").unwrap();
        assert_eq!(bed.found(&Order::EndWhenAbsent), Found::Absent);
        bed.store(&receipt);
        fs::write(bed.restore.archive.join("00000003.history"), "2\t0/1C000A0\tx\n").unwrap();
        assert!(matches!(bed.found(&Order::EndWhenAbsent), Found::Superseded(_)));
        fs::remove_file(bed.restore.archive.join("00000003.history")).unwrap();
        assert_eq!(bed.found(&Order::EndWhenAbsent), Found::Ready);
    }

    /// The DR node, which has the whole segment.
    #[derive(Debug)]
    struct DrNode(PathBuf);

    impl OtherArchive for DrNode {
        fn node(&self) -> String {
            "db3".into()
        }

        fn fetch(
            &self,
            wanted: &[Wanted],
            progress: &mut dyn FnMut(FetchStep) -> bool,
        ) -> Result<(), Box<dyn Error + Send + Sync>> {
            let name = wanted[0].name;
            fs::write(self.0.join(name.to_string()), "whole")?;
            progress(FetchStep::Stored(name, Stored::New));
            Ok(())
        }

        fn fetch_to_scratch(
            &self,
            _: Wanted,
            _: ScratchFile,
            _: &mut dyn FnMut(FetchStep) -> bool,
        ) -> Result<(), Box<dyn Error + Send + Sync>> {
            Err("not expected".into())
        }
    }

    /// flushPrimary --undo --force could not make the receipt void here, and the primary went on. Recovery ended at the
    /// receipt, although the DR node had all WAL.
    #[test]
    fn other_nodes_are_asked_first_if_the_primary_went_on() {
        let mut bed = Bed::new();
        bed.store(&bed.receipt());
        let archive = bed.restore.archive.clone();
        fs::write(archive.join("00000002000000000000001E"), "").unwrap();
        assert_eq!(bed.found(&Order::EndWhenAbsent), Found::Ready, "there is no other node");
        // The calls of one server remember what they asked.
        let pid_file = format!("{}\n/d\n1\n", std::process::id());
        fs::write(bed.restore.data_directory.join("postmaster.pid"), pid_file).unwrap();
        bed.restore.other_archives = vec![Arc::new(DrNode(archive.clone()))];
        let mut source = ArchiveSource::new(&bed.restore).with_other_archives(&bed.restore, true);
        assert_eq!(source.look(&NoEvents), Found::Absent);
        while !archive.join(SEGMENT).exists() {
            let found = source.fetch(&Order::EndWhenAbsent, &Found::Absent);
            assert_eq!(found, Found::Fetching);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_tail_that_is_another_segment_counts_as_absent() {
        let bed = Bed::new();
        bed.store(&bed.receipt());
        let mut source = ArchiveSource::new(&bed.restore);
        fs::write(bed.restore.archive.join(format!("{SEGMENT}.partial")), vec![0; 1 << 20])
            .unwrap();
        assert_eq!(source.look(&NoEvents), Found::Absent);
        assert_eq!(source.fetch(&Order::EndWhenAbsent, &Found::Absent), Found::Ready);
        assert_eq!(source.look(&NoEvents), Found::Absent);
        assert!(!bed.restore.request.target.exists());
    }

    /// The trigger may be withdrawn while a copy is repeated.
    #[test]
    fn after_a_failed_copy_the_order_is_asked_again() {
        let bed = Bed::new();
        bed.store(&bed.receipt());
        fs::create_dir(&bed.restore.request.target).unwrap();
        let mut source = ArchiveSource::new(&bed.restore);
        source.look(&NoEvents);
        assert_eq!(source.fetch(&Order::EndWhenAbsent, &Found::Absent), Found::Ready);
        assert!(matches!(source.restore(false), Err(Found::NotCopied(_))));
        assert_eq!(source.look(&NoEvents), Found::Absent);
        assert_eq!(source.fetch(&Order::Wait, &Found::Absent), Found::Absent);
    }
}
