//! Which files with the same name contain the same segment.

use super::*;
use crate::wal::is_same_segment;

fn same(name: SegmentName, mut a: &[u8], mut b: &[u8]) -> bool {
    let (mut other_b, mut other_a) = (b, a);
    let same = is_same_segment(name, &mut a, &mut b).unwrap();
    assert_eq!(is_same_segment(name, &mut other_b, &mut other_a).unwrap(), same);
    same
}

/// 50 records, and then a switch record if `switched`, far from the end of the segment.
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
fn bytes_after_a_switch_record_may_differ() {
    each(|major| {
        let forge = short(major, true);
        let (end, full) = (forge.at, full(major, 0, &[100]).bytes);
        let mut other = forge.bytes.clone();
        assert!(same(forge.name, &forge.bytes, &other));
        other[end..].fill(0xAA);
        assert!(same(forge.name, &forge.bytes, &other));
        // Pages with the right addresses, as in a segment that a promotion copied.
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
fn all_bytes_of_a_full_segment_must_be_equal() {
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
fn a_segment_with_more_records_is_not_the_same() {
    each(|major| {
        let (ended, switched) = (short(major, false), short(major, true));
        assert!(!same(ended.name, &ended.bytes, &switched.bytes), "{major}");
        let mut longer = short(major, false);
        longer.record(10, 0, 10);
        assert!(!same(ended.name, &ended.bytes, &longer.bytes), "{major}");
        // The beginning of a record whose second page is missing.
        let mut part = short(major, false);
        part.record(10, 0, 3 * PAGE);
        part.bytes[(ended.at / PAGE + 1) * PAGE..].fill(0);
        assert!(!same(ended.name, &ended.bytes, &part.bytes), "{major}");
        // A page in the middle was lost: a server stops at the same position, but more was written.
        let mut lost = full(major, 9000, &[700]);
        let (from, to) = (ended.at, (ended.at / PAGE + 1) * PAGE);
        lost.bytes[..from].copy_from_slice(&ended.bytes[..from]);
        lost.bytes[from..to].fill(0);
        assert!(!same(ended.name, &ended.bytes, &lost.bytes), "{major}");
    });
}

#[test]
fn only_pages_of_older_segments_may_differ_in_an_unfinished_segment() {
    each(|major| {
        let forge = short(major, false);
        let next = (forge.at / PAGE + 1) * PAGE;
        let mut other = forge.bytes.clone();
        other[next..].fill(0xAA);
        assert!(same(forge.name, &forge.bytes, &other), "{major}");
        // Pages of an older segment in a recycled file, which have other addresses.
        let old = full(major, 0, &[100]).bytes;
        other[next..].copy_from_slice(&old[PAGE..MIB - next + PAGE]);
        assert!(same(forge.name, &forge.bytes, &other), "{major}");
        // The last page must be equal.
        other[forge.at + 100] = 1;
        assert!(!same(forge.name, &forge.bytes, &other), "{major}");
    });
}

#[test]
fn files_that_are_not_segments_are_never_the_same() {
    let forge = full(PgMajor::of(18, 0), 0, &[100]);
    assert!(!same(forge.name, b"", b""));
    assert!(!same(forge.name, &[0; MIB], &[0; MIB]));
    let place = SegmentPlace { log_id: 1, segment: 6 };
    let other = SegmentName { place, ..forge.name };
    assert!(!same(other, &forge.bytes, &forge.bytes));
}
