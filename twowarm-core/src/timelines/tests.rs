use std::fs;

use super::*;
use crate::wal::{ControlFile, Lsn, SegmentLayout, SegmentName, SegmentSize};

/// Timeline 2 forked from timeline 1 in segment 3.
const HISTORY: &str = "1\t0/3000158\tno recovery target\n";

struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { dir: tempfile::tempdir().unwrap() }
    }

    fn node(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes the history of a timeline into the archive.
    fn put(&self, number: u32, text: &str) {
        fs::write(self.dir.path().join(format!("{number:08X}.history")), text).unwrap();
    }

    fn remove(&self, number: u32) {
        fs::remove_file(self.dir.path().join(format!("{number:08X}.history"))).unwrap();
    }

    fn forked_before(&self, segment: &str) -> Result<Option<TimelineId>, HistoryFileError> {
        let node = self.node();
        let timelines = Timelines::new(self.dir.path(), Some(&node));
        let forked = timelines.forked_before(name(segment), layout())?;
        Ok(forked.map(|forked| forked.timeline))
    }

    fn superseded(&self, segment: &str) -> Option<(u32, Following)> {
        let node = self.node();
        let timelines = Timelines::new(self.dir.path(), Some(&node));
        let superseded = timelines.superseded(name(segment), layout()).unwrap();
        superseded.map(|newer| (newer.timeline.number(), newer.following))
    }
}

fn name(segment: &str) -> SegmentName {
    segment.parse().unwrap()
}

fn layout() -> SegmentLayout {
    SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT)
}

#[test]
fn a_segment_past_a_recorded_fork_is_known() {
    let scratch = Scratch::new();
    let forked = |segment| scratch.forked_before(segment).unwrap();
    let timeline = |number| Some(TimelineId::new(number).unwrap());
    scratch.put(2, HISTORY);
    assert_eq!(forked("000000010000000000000003"), None);
    assert_eq!(forked("000000010000000000000004"), timeline(2));
    assert_eq!(forked("000000020000000000000004"), None);

    // Histories after a gap in the numbers are found.
    scratch.put(0x20, HISTORY);
    scratch.remove(2);
    assert_eq!(forked("000000010000000000000004"), timeline(32));
    scratch.remove(0x20);

    // An invalid history file is ignored, and does not hide others.
    for invalid in ["", "nonsense\n"] {
        scratch.put(2, invalid);
        assert_eq!(forked("000000010000000000000004"), None);
        scratch.put(3, HISTORY);
        assert_eq!(forked("000000010000000000000004"), timeline(3));
        scratch.remove(3);
        scratch.remove(2);
    }
    assert_eq!(forked("FFFFFFFF0000000000000004"), None);
}

/// A promoted node went on storing what the old primary wrote: the history of its new timeline was only in
/// its server's WAL directory.
#[test]
fn histories_in_the_servers_wal_directory_are_found() {
    let scratch = Scratch::new();
    let forked = |segment| scratch.forked_before(segment);
    let timeline = |number| Some(TimelineId::new(number).unwrap());
    for (wal, number) in [("pg_xlog", 5), ("pg_wal", 4)] {
        let wal = scratch.node().join(wal);
        fs::create_dir_all(&wal).unwrap();
        let history = wal.join(format!("{number:08X}.history"));
        fs::write(&history, HISTORY).unwrap();
        assert_eq!(forked("000000010000000000000003").unwrap(), None);
        assert_eq!(forked("000000010000000000000004").unwrap(), timeline(number));
        fs::write(&history, "nonsense\n").unwrap();
        let error = forked("000000010000000000000004").unwrap_err();
        assert!(matches!(error, HistoryFileError::Invalid { .. }), "{error}");
        fs::remove_dir_all(&wal).unwrap();
    }
    // The disk of pg_wal is not mounted: that does not mean that there are no histories.
    std::os::unix::fs::symlink("nowhere", scratch.node().join("pg_wal")).unwrap();
    let error = forked("000000010000000000000004").unwrap_err();
    assert!(matches!(error, HistoryFileError::File(_)), "{error}");
}

#[test]
fn a_newer_timeline_can_be_followed_only_from_the_segment_of_its_fork() {
    let scratch = Scratch::new();
    assert_eq!(scratch.superseded("000000010000000000000003"), None);
    scratch.put(2, HISTORY);
    assert_eq!(scratch.superseded("000000010000000000000002"), None);
    assert_eq!(scratch.superseded("000000010000000000000003"), Some((2, Following::Possible)));
    assert_eq!(scratch.superseded("000000010000000000000004"), Some((2, Following::BaseCopy)));
    // Timeline 3 forked later, and can be followed; it takes precedence.
    scratch.put(3, "1\t0/4000158\tno recovery target\n");
    assert_eq!(scratch.superseded("000000010000000000000004"), Some((3, Following::Possible)));
    // As the server, the search ends at the first number that has no history.
    scratch.remove(2);
    assert_eq!(scratch.superseded("000000010000000000000004"), None);
    // Before 9.3 a history names the last segment of its parent, which may end with the fork.
    scratch.put(2, "1\t000000010000000000000003\tno recovery target\n");
    scratch.remove(3);
    assert_eq!(scratch.superseded("000000010000000000000004"), Some((2, Following::Possible)));
    assert_eq!(scratch.superseded("000000010000000000000005"), Some((2, Following::BaseCopy)));
}

#[test]
fn the_archives_copy_of_a_history_comes_first_and_an_invalid_one_is_ignored() {
    let scratch = Scratch::new();
    let (node, two) = (scratch.node(), TimelineId::new(2).unwrap());
    let timelines = Timelines::new(scratch.dir.path(), Some(&node));
    assert_eq!(timelines.history(two).unwrap(), None);
    fs::create_dir_all(node.join("pg_wal")).unwrap();
    fs::write(node.join("pg_wal/00000002.history"), HISTORY).unwrap();
    scratch.put(2, "nonsense\n");
    let history = timelines.history(two).unwrap().unwrap();
    assert_eq!(history.as_bytes(), HISTORY.as_bytes());
    scratch.put(2, "1\t0/5000000\tother\n");
    let history = timelines.history(two).unwrap().unwrap();
    assert_eq!(history.as_bytes(), b"1\t0/5000000\tother\n");
}

/// Regression: a standby that has replayed exactly all of the fork's segment was refused as past the fork.
#[test]
fn a_node_at_the_end_of_the_segment_of_a_fork_can_follow() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/15/pg_control");
    let mut control = ControlFile::parse(&fs::read(sample).unwrap()).unwrap();
    let size = control.segment_size.bytes();
    control.timeline = TimelineId::FIRST;
    control.checkpoint = Lsn(6 * size + 40);
    // Through 9.2 a history names the segment.
    let text = "1\t000000010000000000000006\tno recovery target specified\n";
    let history = TimelineHistory::parse(TimelineId::new(2).unwrap(), text.as_bytes()).unwrap();
    for (end, expected) in [(6 * size + 80, true), (7 * size, true), (7 * size + 1, false)] {
        control.min_recovery_point = Some(Lsn(end));
        assert_eq!(can_follow(&control, &history), expected, "{end:X}");
    }
}
