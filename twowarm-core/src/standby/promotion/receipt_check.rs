//! Whether the archive holds all WAL up to the end of a receipt.

use std::fs::File;
use std::path::Path;

use super::PromotionError;
use crate::archive::{Archive, Given};
use crate::receipt::Receipt;
use crate::standby::wal_end::tail_of;
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
    if let Some(missing) = archive.missing_before(segment, given, control, data_directory)? {
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
    let found = tail_of(file, receipt.segment, &Expected::of(control));
    let found = found.unwrap_or_else(|error| Err(error.to_string()))?;
    match found.end == receipt.end && found.last_record == Some(receipt.checkpoint) {
        true => Ok(()),
        false => Err(format!("WAL ends at {}, not at {}", found.end, receipt.end)),
    }
}
