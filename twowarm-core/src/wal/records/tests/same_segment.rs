//! When two files of one name are the same segment.

use super::*;
use crate::wal::is_same_segment;

fn same(name: SegmentName, mut a: &[u8], mut b: &[u8]) -> bool {
    let (mut other_b, mut other_a) = (b, a);
    let same = is_same_segment(name, &mut a, &mut b).unwrap();
    assert_eq!(is_same_segment(name, &mut other_b, &mut other_a).unwrap(), same);
    same
}

/// 50 records, and then a switch if it is `switched`; pages long before the end.
fn short(major: PgMajor, switched: bool) -> Forge {
    let mut forge = Forge::new(major, 8);
    forge.tail(9000);
    (0..50).for_each(|_| forge.record(10, 0, 700));
    if switched {
        forge.record(0, SWITCH, 0);
    }
    forge
}

#[test]
fn behind_a_switch_anything_may_stand() {
    each(|major| {
        let forge = short(major, true);
        let (end, full) = (forge.at, full(major, 0, &[100]).bytes);
        let mut other = forge.bytes.clone();
        assert!(same(forge.name, &forge.bytes, &other));
        other[end..].fill(0xAA);
        assert!(same(forge.name, &forge.bytes, &other));
        // Pages that look like this segment's, as the segment has them that a promotion copied.
        other[end..].copy_from_slice(&full[end..]);
        assert!(same(forge.name, &forge.bytes, &other));
        assert!(!same(forge.name, &forge.bytes, &other[..MIB - 1]));
        for at in [0, 2, 30, PAGE, PAGE + 100, 3 * PAGE + 10, end - 1] {
            let mut other = forge.bytes.clone();
            other[at] ^= 1;
            assert!(!same(forge.name, &forge.bytes, &other), "{major}: at {at}");
        }
    });
}

#[test]
fn of_a_full_segment_every_byte_counts() {
    each(|major| {
        let forge = full(major, 300, &[700]);
        assert!(same(forge.name, &forge.bytes, &forge.bytes));
        assert!(!same(forge.name, &forge.bytes, &[&forge.bytes[..], &[0]].concat()));
        for at in [20, 5000, PAGE, MIB / 2, MIB - 100] {
            let mut other = forge.bytes.clone();
            other[at] ^= 1;
            assert!(!same(forge.name, &forge.bytes, &other), "{major}: at {at}");
        }
    });
}

#[test]
fn one_that_goes_on_is_another() {
    each(|major| {
        let (ended, switched) = (short(major, false), short(major, true));
        assert!(!same(ended.name, &ended.bytes, &switched.bytes), "{major}");
        let mut longer = short(major, false);
        longer.record(10, 0, 10);
        assert!(!same(ended.name, &ended.bytes, &longer.bytes), "{major}");
        // A part of a record: it begins, but its second page is missing.
        let mut part = short(major, false);
        part.record(10, 0, 3 * PAGE);
        part.bytes[(ended.at / PAGE + 1) * PAGE..].fill(0);
        assert!(!same(ended.name, &ended.bytes, &part.bytes), "{major}");
        // The page in between was lost: a server stops at the same place, but more was written.
        let mut lost = full(major, 9000, &[700]);
        let (from, to) = (ended.at, (ended.at / PAGE + 1) * PAGE);
        lost.bytes[..from].copy_from_slice(&ended.bytes[..from]);
        lost.bytes[from..to].fill(0);
        assert!(!same(ended.name, &ended.bytes, &lost.bytes), "{major}");
    });
}

#[test]
fn of_an_unfinished_one_only_foreign_pages_may_differ() {
    each(|major| {
        let forge = short(major, false);
        let next = (forge.at / PAGE + 1) * PAGE;
        let mut other = forge.bytes.clone();
        other[next..].fill(0xAA);
        assert!(same(forge.name, &forge.bytes, &other), "{major}");
        // Pages of the segment that the file was before, each at another address than its own.
        let old = full(major, 0, &[100]).bytes;
        other[next..].copy_from_slice(&old[PAGE..MIB - next + PAGE]);
        assert!(same(forge.name, &forge.bytes, &other), "{major}");
        // Within its last page nothing may.
        other[forge.at + 100] = 1;
        assert!(!same(forge.name, &forge.bytes, &other), "{major}");
    });
}

#[test]
fn what_is_no_segment_is_not_the_same() {
    let forge = full(PgMajor::of(18, 0), 0, &[100]);
    assert!(!same(forge.name, b"", b""));
    assert!(!same(forge.name, &[0; MIB], &[0; MIB]));
    let place = SegmentPlace { log_id: 1, segment: 6 };
    let other = SegmentName { place, ..forge.name };
    assert!(!same(other, &forge.bytes, &forge.bytes));
}
