//! Whether a timeline forked where its history says.

use super::histories::Histories;
use super::segment_file::SegmentFile;
use super::{Finding, FindingKind};
use crate::archive::Archive;
use crate::wal::{ForkPoint, SegmentWalk, WalEnd, WalFileName, push_pages};

/// A record of the new timeline begins at the fork. Through 9.2 a history names only the segment.
pub(super) fn findings(
    archive: &Archive,
    files: &[SegmentFile],
    histories: &Histories,
) -> Vec<Finding> {
    let mismatch = |file: &SegmentFile| {
        let (name, header) = (file.segment()?, file.header?);
        let Some(&ForkPoint::Position(fork)) = histories.get(name.timeline)?.begins() else {
            return None;
        };
        let mut walk = SegmentWalk::from_record(&header, name, fork)?;
        // What is wrong before the fork, or instead of WAL, is another finding.
        if file.stop.as_ref().is_some_and(|stop| stop.at <= fork) {
            return None;
        }
        let mut open = archive.find(file.name).ok()??;
        push_pages(&mut walk, &mut open, &header, |walk| walk.last_record().is_some()).ok()?;
        let Some(WalEnd::Stops { why, .. }) = walk.ended() else { return None };
        let history = WalFileName::History(name.timeline).to_string();
        let why = format!("names the fork {fork}, but no record of {name} begins there: {why}");
        Some(Finding::new(FindingKind::BadHistory, &history, why))
    };
    files.iter().filter_map(mismatch).collect()
}
