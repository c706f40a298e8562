//! Whether the archive holds all WAL up to the end of a receipt.

use std::fs::File;
use std::path::Path;

use super::PromotionError;
use crate::archive::{Archive, Given};
use crate::data_directory::redo_place;
use crate::receipt::{Receipt, Tail};
use crate::wal::{ControlFile, Expected, SegmentName, TimelineId, WalFileName};

/// What the archive has of a receipt of flushPrimary.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptState {
    /// All WAL up to its end, in this segment.
    Complete(SegmentName),
    /// Not all of it.
    Incomplete {
        /// The segment with the end.
        segment: SegmentName,
        /// What is missing, as one line of text.
        why: String,
    },
    /// The receipt can't be used, for this reason.
    Unreadable(String),
}

/// The receipt in the archive, if it is for the timeline that the standby replays, and whether all of it is there.
pub(super) fn check(
    archive: &Archive,
    timeline: TimelineId,
    given: Given,
    control: &ControlFile,
    data_directory: &Path,
) -> Result<Option<ReceiptState>, PromotionError> {
    let receipt = match Receipt::in_archive(archive.path()) {
        Ok(Some(receipt)) => receipt,
        Ok(None) => return Ok(None),
        Err(error) => return Ok(Some(ReceiptState::Unreadable(error.to_string()))),
    };
    let own = (control.system_identifier, timeline);
    if (receipt.system_identifier, receipt.timeline) != own {
        // That of an earlier switchover.
        return Ok(None);
    }
    let segment = receipt.segment;
    let incomplete = |why| Ok(Some(ReceiptState::Incomplete { segment, why }));
    if archive.find(WalFileName::Segment(segment))?.is_some() {
        return incomplete(format!(
            "{segment} is in the archive, so the primary was started again after that shutdown"
        ));
    }
    // That segment may have been removed since.
    let is_later = |name: &SegmentName| name.timeline == timeline && name.place > segment.place;
    if redo_place(data_directory, control) > segment.place
        || archive.segments()?.iter().any(is_later)
    {
        return incomplete(format!(
            "there is WAL from after {segment}, so the primary was started again after that shutdown"
        ));
    }
    let server = Some((given, control, data_directory));
    let missing = archive.first_missing(timeline, Some(segment), control.layout(), server)?;
    if let Some(missing) = missing.filter(|missing| missing.place < segment.place) {
        return incomplete(format!("{missing} is missing"));
    }
    let partial = WalFileName::Partial(segment);
    let Some(mut file) = archive.find(partial)? else {
        return incomplete(format!("{partial} is missing"));
    };
    if let Err(why) = ends_with_receipt(&mut file, &receipt, control) {
        return incomplete(format!("{partial} is not the segment of the receipt: {why}"));
    }
    Ok(Some(ReceiptState::Complete(segment)))
}

fn ends_with_receipt(
    file: &mut File,
    receipt: &Receipt,
    control: &ControlFile,
) -> Result<(), String> {
    let found = Tail::find(file, receipt.segment, &Expected::of(control));
    let found = found.map_err(|error| error.to_string())?;
    match found.is_of(receipt) {
        true => Ok(()),
        false => Err(format!("WAL ends at {}, not at {}", found.end, receipt.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_directory::control_file;
    use crate::receipt::{ReceiptFile, ReceiptId};
    use std::fs;

    /// The archive no longer has the segment under its plain name, which shows that its primary has gone on.
    #[test]
    fn a_receipt_before_the_restart_point_is_out_of_date() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
        let dir = tempfile::tempdir().unwrap();
        let [directory, pgdata] = ["archive", "data"].map(|name| dir.path().join(name));
        fs::create_dir(&directory).unwrap();
        fs::create_dir_all(pgdata.join("global")).unwrap();
        fs::copy(sample.join("pg_control"), pgdata.join("global/pg_control")).unwrap();
        let control = control_file(&pgdata).unwrap().unwrap();
        let timeline = control.timeline;
        let layout = control.layout();
        let number = layout.number(redo_place(&pgdata, &control)).unwrap();
        let archive = Archive::open(&directory).unwrap();
        let found = |number: u64, later: &str| {
            let segment = SegmentName { timeline, place: layout.place(number).unwrap() };
            let receipt = Receipt {
                system_identifier: control.system_identifier,
                timeline,
                segment,
                checkpoint: layout.start(segment.place).unwrap(),
                end: control.checkpoint,
                node_id: "db1".parse().unwrap(),
                label: "db1".into(),
                id: ReceiptId::random().unwrap(),
            };
            let receipt = Receipt { end: crate::wal::Lsn(receipt.checkpoint.0 + 100), ..receipt };
            ReceiptFile::in_archive(&directory).write(&receipt).unwrap();
            if !later.is_empty() {
                fs::write(directory.join(later), "").unwrap();
            }
            match check(&archive, timeline, Given::Nothing, &control, &pgdata).unwrap() {
                Some(ReceiptState::Incomplete { why, .. }) => why,
                other => panic!("{other:?}"),
            }
        };
        assert!(found(number - 1, "").contains("started again"));
        assert!(found(number, "").contains(".partial is missing"));
        let later = SegmentName { timeline, place: layout.place(number + 1).unwrap() };
        assert!(found(number, &later.to_string()).contains("started again"));
    }
}
