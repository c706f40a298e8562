use std::fs;

use proptest::prelude::*;

use super::*;
use crate::wal::{SegmentPlace, SegmentSize};

fn receipt() -> Receipt {
    Receipt {
        system_identifier: 7_234_567_890_123_456_789,
        timeline: TimelineId::FIRST,
        segment: "000000010000000000000005".parse().unwrap(),
        checkpoint: "0/5000028".parse().unwrap(),
        end: "0/50000A0".parse().unwrap(),
        node_id: "near-node-id".parse().unwrap(),
        label: "db1:/pg".into(),
        id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
    }
}

#[test]
fn the_text_of_a_receipt() {
    let text = "version=1\nsystem_identifier=7234567890123456789\ntimeline=1\n\
        segment=000000010000000000000005\ncheckpoint=0/5000028\nend=0/50000A0\n\
        node_id=near-node-id\nlabel=db1:/pg\nid=0123456789abcdef0123456789abcdef\n";
    assert_eq!(receipt().to_string(), text);
    assert_eq!(text.parse(), Ok(receipt()));
    for (from, to) in [
        ("version=1", "version=2"),
        ("timeline=1", "timeline=2"),
        ("timeline=1", "timeline=0"),
        ("0/50000A0", "0/5000028"),
        ("0/50000A0", "0/"),
        ("id=0123", "id=01G3"),
        ("id=0123", "id=123"),
        ("label", "name"),
        ("db1:", "db1\r"),
        ("near-node-id", ""),
        ("cdef\n", "cdef"),
        ("cdef\n", "cdef\n\n"),
        ("cdef\n", "cdef\nmore=1\n"),
        ("\n", "\r\n"),
    ] {
        let bad = text.replace(from, to);
        assert_ne!(bad, text);
        let error = bad.parse::<Receipt>().unwrap_err().to_string();
        assert!(!error.contains(['\n', '\r']), "{error:?}");
    }
}

#[test]
fn a_receipt_is_stored_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    for file in [ReceiptFile::in_archive(dir.path()), ReceiptFile::of_node(dir.path())] {
        assert_eq!(file.read().unwrap(), None);
        file.remove().unwrap();
        file.write(&receipt()).unwrap();
        let next = Receipt { end: "0/50000B0".parse().unwrap(), ..receipt() };
        file.write(&next).unwrap();
        assert_eq!(file.read().unwrap(), Some(next));
        fs::write(file.path(), "version=1\n").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
        file.remove().unwrap();
        assert_eq!(file.read().unwrap(), None);
    }
    fs::write(dir.path().join("receipt"), receipt().to_string()).unwrap();
    assert_eq!(Receipt::of_node(dir.path()).unwrap(), Some(receipt()));
    assert_eq!(Receipt::in_archive(dir.path()).unwrap(), None);
}

/// An archive whose disk is not mounted must not look like one without a receipt.
#[test]
fn a_missing_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    Receipt::in_archive(&dir.path().join("missing")).unwrap_err();
    Receipt::of_node(&dir.path().join("missing")).unwrap_err();
}

#[test]
fn the_record_must_lie_in_the_segment() {
    let layout = SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT);
    assert!(receipt().is_within_segment(layout));
    for (checkpoint, end, within) in [
        ("0/5FFFF88", "0/6000000", true),
        ("0/5FFFF88", "0/6000020", false),
        ("0/4FFFF88", "0/5000020", false),
        ("0/50000A0", "0/50000A0", false),
    ] {
        let [checkpoint, end] = [checkpoint, end].map(|lsn| lsn.parse().unwrap());
        assert_eq!(Receipt { checkpoint, end, ..receipt() }.is_within_segment(layout), within);
    }
}

/// A server that was started again has perhaps written more WAL.
#[test]
fn only_a_cluster_that_was_not_started_again_is_at_the_receipt() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/15/pg_control");
    let mut at_end = ControlFile::parse(&fs::read(sample).unwrap()).unwrap();
    at_end.system_identifier = receipt().system_identifier;
    (at_end.state, at_end.timeline) = (ClusterState::ShutDown, TimelineId::FIRST);
    at_end.checkpoint = receipt().checkpoint;
    (at_end.min_recovery_point, at_end.min_recovery_timeline) = (None, None);
    assert_eq!(receipt().difference(&at_end), None);
    let differs = |change: &dyn Fn(&mut ControlFile)| {
        let mut control = at_end.clone();
        change(&mut control);
        assert!(receipt().difference(&control).is_some(), "{control:?}");
    };
    let second = TimelineId::new(2).unwrap();
    differs(&|control| control.system_identifier += 1);
    differs(&|control| control.state = ClusterState::InProduction);
    differs(&|control| control.state = ClusterState::InCrashRecovery);
    differs(&|control| control.state = ClusterState::ShutDownInRecovery);
    differs(&|control| control.timeline = second);
    differs(&|control| control.min_recovery_timeline = Some(second));
    differs(&|control| control.checkpoint.0 += 0x78);
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed(
        system_identifier: u64,
        timeline in 1..u32::MAX,
        log_id: u32,
        segment: u32,
        checkpoint in 0..u64::MAX,
        length in 1..u64::MAX,
        label in "[ -~äß€]{0,80}",
    ) {
        let timeline = TimelineId::new(timeline).unwrap();
        let receipt = Receipt {
            system_identifier,
            timeline,
            segment: SegmentName { timeline, place: SegmentPlace { log_id, segment } },
            checkpoint: Lsn(checkpoint),
            end: Lsn(checkpoint.saturating_add(length)),
            label,
            id: ReceiptId::random().unwrap(),
            ..receipt()
        };
        prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
    }

    #[test]
    fn a_changed_text_is_refused_or_another_receipt(at in 0..200usize, length in 0..40usize, new in "(.|\n){0,9}") {
        let mut text = receipt().to_string();
        let begin = at.min(text.len());
        text.replace_range(begin..(begin + length).min(text.len()), &new);
        match text.parse::<Receipt>() {
            Ok(receipt) => prop_assert_eq!(receipt.to_string().parse(), Ok(receipt)),
            Err(error) => prop_assert!(!error.to_string().contains(['\n', '\r'])),
        }
    }
}
