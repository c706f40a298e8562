//! The difference between a damaged and an unfinished segment.

use super::*;
use crate::wal::{Completeness, completeness};

/// With the timeline of its pages in its name.
fn of(bytes: &[u8], name: SegmentName) -> Completeness {
    of_name(bytes, SegmentName { timeline: TimelineId::new(5).unwrap(), ..name })
}

fn of_name(bytes: &[u8], name: SegmentName) -> Completeness {
    let header =
        check_segment_header(&bytes[..40], name, MIB as u64, &Expected::default()).unwrap();
    completeness(name, &header, &mut &bytes[..]).unwrap()
}

fn is_damaged(found: &Completeness) -> bool {
    matches!(found, Completeness::Damaged { .. })
}

fn is_unfinished(found: &Completeness) -> bool {
    matches!(found, Completeness::Unfinished { .. })
}

#[test]
fn a_flipped_bit_in_a_record_is_damage() {
    each(|major| {
        let forge = full(major, 0, &[700]);
        assert_eq!(of(&forge.bytes, forge.name), Completeness::Whole, "{major}");
        let pages = MIB / PAGE;
        for page in [0, 1, pages / 2, pages - 2, pages - 1] {
            let places = page * PAGE + 100..(page + 1) * PAGE;
            let at = places.into_iter().find(|&at| forge.covered[at]).unwrap();
            let mut bytes = forge.bytes.clone();
            bytes[at] ^= 1;
            let found = of(&bytes, forge.name);
            // Before 9.5 the WAL may end in the last page because of a promotion.
            let expected = page < pages - 1 || major.names_unfinished_segments();
            assert_eq!(is_damaged(&found), expected, "{major} page {page}: {found:?}");
            assert!(expected || is_unfinished(&found), "{major} page {page}: {found:?}");
        }
    });
}

#[test]
fn a_lost_page_is_damage() {
    each(|major| {
        let forge = full(major, 0, &[700]);
        let mut bytes = forge.bytes.clone();
        bytes[5 * PAGE..6 * PAGE].fill(0);
        assert!(is_damaged(&of(&bytes, forge.name)), "{major}");
    });
}

/// After the end of the WAL there are zeros or, in a recycled file, pages of an older segment.
#[test]
fn a_segment_without_later_pages_is_unfinished() {
    each(|major| {
        let forge = full(major, 0, &[700]);
        let mut older = forge.bytes.clone();
        let low = if major.record_format() == RecordFormat::Halves { 12 } else { 8 };
        older.chunks_mut(PAGE).for_each(|page| page[low + 2] -= 0x10);
        for end in [PAGE, 3 * PAGE, MIB - PAGE] {
            let mut zeros = forge.bytes.clone();
            zeros[end..].fill(0);
            let mut recycled = forge.bytes.clone();
            recycled[end..].copy_from_slice(&older[end..]);
            for bytes in [zeros, recycled] {
                let found = of(&bytes, forge.name);
                assert!(is_unfinished(&found), "{major} from {end:#X}: {found:?}");
            }
        }
    });
}

/// Through 9.3 the copy of a segment that a promotion makes contains such pages at the right addresses. After a
/// second promotion in the same segment it remains unfinished.
#[test]
fn later_pages_of_an_ancestor_do_not_mean_damage() {
    each(|major| {
        let mut bytes = full(major, 0, &[700]).bytes;
        let name = full(major, 0, &[700]).name;
        bytes[5 * PAGE + 100..6 * PAGE].fill(0);
        assert!(is_unfinished(&of_name(&bytes, name)), "{major}");
        assert!(is_damaged(&of(&bytes, name)), "{major}");
        // Later pages of the same timeline do.
        bytes[100 * PAGE + 4] = 7;
        assert!(is_damaged(&of_name(&bytes, name)), "{major}");
    });
}

#[test]
fn pages_after_a_switch_record_are_ignored() {
    each(|major| {
        let mut forge = Forge::new(major, 8);
        (0..50).for_each(|_| forge.record(10, 0, 700));
        forge.record(0, SWITCH, 0);
        let (end, full) = (forge.at, full(major, 0, &[100]).bytes);
        forge.bytes[end..].copy_from_slice(&full[end..]);
        assert_eq!(of(&forge.bytes, forge.name), Completeness::Whole, "{major}");
    });
}

#[test]
fn a_segment_of_a_newer_version_is_unknown() {
    let mut forge = full(PgMajor::NEWEST, 0, &[700]);
    forge.bytes.chunks_mut(PAGE).for_each(|page| page[..2].copy_from_slice(&[0x40, 0xD1]));
    assert!(matches!(of(&forge.bytes, forge.name), Completeness::Unknown(_)));
    assert_eq!(walk(&forge), WalEnd::ReachesEnd);
    let half = walk_pages(&forge.bytes[..MIB / 2], forge.name);
    assert_eq!(stops(&half), Some(&StopReason::PagesMissing { pages: 64, expected: 128 }));
    // In a segment of a known version such a page is invalid.
    let mut known = full(PgMajor::NEWEST, 0, &[700]);
    known.bytes[PAGE..PAGE + 2].copy_from_slice(&[0x40, 0xD1]);
    assert!(matches!(stops(&walk(&known)), Some(StopReason::NotWal(_))));
}
