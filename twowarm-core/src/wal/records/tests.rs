use proptest::prelude::*;

use super::*;
use crate::version::RecordFormat;
use crate::wal::{Expected, SegmentLayout, SegmentPlace, SegmentSize, check_segment_header};
use forge::Forge;

mod completeness;
pub(crate) mod forge;
mod same_segment;

const MIB: usize = 1024 * 1024;
const SWITCH: u8 = 0x40;
const PAGE: usize = 8192;

/// One major of each format.
fn majors() -> impl Strategy<Value = PgMajor> {
    prop::sample::select(vec![
        PgMajor::of(8, 2),
        PgMajor::of(9, 2),
        PgMajor::of(9, 3),
        PgMajor::of(9, 5),
        PgMajor::of(18, 0),
    ])
}

fn walk_pages(bytes: &[u8], name: SegmentName) -> WalEnd {
    let header =
        check_segment_header(&bytes[..40], name, MIB as u64, &Expected::default()).unwrap();
    let mut walk = SegmentWalk::new(&header, name);
    for page in bytes.chunks(PAGE) {
        walk.push(page);
    }
    walk.finish()
}

fn walk(forge: &Forge) -> WalEnd {
    walk_pages(&forge.bytes, forge.name)
}

fn stops(end: &WalEnd) -> Option<&StopReason> {
    match end {
        WalEnd::Stops { why, .. } => Some(why),
        _ => None,
    }
}

/// A segment filled with records of these lengths, after `tail` bytes of a record from the previous segment.
fn full(major: PgMajor, tail: u32, lengths: &[usize]) -> Forge {
    let mut forge = Forge::new(major, 8);
    forge.tail(tail);
    for &length in lengths.iter().cycle() {
        if forge.is_full() {
            break;
        }
        forge.record(10, 0, length);
    }
    forge
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![20 => 6..300_usize, 5 => 300..9000_usize, 1 => 9000..100_000_usize],
        1..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_full_segment_reaches_its_end(major in majors(), tail in 0..30_000_u32, lengths in lengths()) {
        prop_assert_eq!(walk(&full(major, tail, &lengths)), WalEnd::ReachesEnd);
    }

    #[test]
    fn every_flipped_byte_in_a_record_is_detected(
        major in majors(), tail in 0..9_000_u32, lengths in lengths(),
        place in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut forge = full(major, tail, &lengths);
        let covered: Vec<usize> = (0..MIB).filter(|&at| forge.covered[at]).collect();
        prop_assume!(!covered.is_empty());
        let at = *place.get(&covered);
        forge.bytes[at] ^= flip;
        let end = walk(&forge);
        prop_assert!(stops(&end).is_some(), "{:?} after a flip at {:#X}", end, at);
    }

    #[test]
    fn the_log_ends_where_zeros_begin(
        major in majors(), tail in 0..30_000_u32, lengths in lengths(), from in PAGE..MIB,
    ) {
        let mut forge = full(major, tail, &lengths);
        // The last bytes of a page may be unused.
        let from = from / PAGE * PAGE;
        forge.bytes[from..].fill(0);
        prop_assert!(stops(&walk(&forge)).is_some());
        prop_assert!(stops(&walk_pages(&forge.bytes[..from], forge.name)).is_some());
    }

    #[test]
    fn bytes_after_a_switch_record_are_ignored(
        major in majors(), tail in 0..9_000_u32, lengths in lengths(), count in 0..50_usize,
        garbage in any::<u8>(),
    ) {
        let mut forge = Forge::new(major, 8);
        forge.tail(tail);
        for &length in lengths.iter().cycle().take(count) {
            forge.record(10, 0, length);
        }
        prop_assume!(forge.room() > 2 * PAGE);
        forge.record(0, SWITCH, 0);
        let end = forge.at;
        forge.bytes[end..].fill(garbage);
        let at = Lsn(forge.base.0 + end as u64);
        prop_assert_eq!(walk(&forge), WalEnd::Switched { at });
    }

    #[test]
    fn random_bytes_end_the_log(mut bytes in prop::collection::vec(any::<u8>(), PAGE..3 * PAGE), major in majors()) {
        let forge = full(major, 0, &[100]);
        bytes[..400].copy_from_slice(&forge.bytes[..400]);
        prop_assert!(stops(&walk_pages(&bytes, forge.name)).is_some());
    }
}

fn each(check: impl Fn(PgMajor)) {
    PgMajor::ALL.into_iter().for_each(check);
}

#[test]
fn a_segment_within_a_record() {
    each(|major| {
        let mut forge = Forge::new(major, 8);
        forge.tail(5 * MIB as u32);
        assert_eq!(walk(&forge), WalEnd::ReachesEnd);
        forge.bytes[100 * PAGE..].fill(0);
        assert!(matches!(stops(&walk(&forge)), Some(StopReason::NotWal(_))));
    });
}

#[test]
fn a_record_of_several_segments_begins() {
    each(|major| {
        let mut forge = Forge::new(major, 8);
        forge.record(10, 0, 50);
        forge.record(10, 0, 5 * MIB);
        assert_eq!(walk(&forge), WalEnd::ReachesEnd);
    });
}

#[test]
fn machines_of_32_bits_align_to_4() {
    each(|major| {
        let mut forge = Forge::new(major, 4);
        forge.tail(77);
        (0..3000).for_each(|i| forge.record(10, 0, 10 + i % 1000));
        // Before 9.3 a segment does not tell, and 64 bits are assumed.
        if major.record_format() != RecordFormat::Halves {
            assert_eq!(walk(&forge), WalEnd::ReachesEnd, "{major}");
        }
    });
}

#[test]
fn the_parts_of_the_last_record_must_add_up_to_its_length() {
    each(|major| {
        let mut forge = full(major, 0, &[100]);
        let last = forge.starts.iter().rev().find(|&&at| at < MIB - 200).copied().unwrap();
        let length = if major.record_format() == RecordFormat::Halves { last + 16 } else { last };
        forge.bytes[length + 1] = 0x70;
        assert!(matches!(stops(&walk(&forge)), Some(StopReason::BadLength { .. })), "{major}");
    });
}

#[test]
fn an_incomplete_record_can_be_overwritten() {
    each(|major| {
        for kind in [0xD0, 0x20] {
            let mut forge = Forge::new(major, 8);
            forge.record(10, 0, 500);
            let previous = forge.previous;
            forge.record(10, 0, 50_000);
            forge.give_up_at_page(3, previous);
            forge.record(0, kind, 16);
            let at = Lsn(forge.base.0 + 3 * PAGE as u64 + forge.content as u64);
            while !forge.is_full() {
                forge.record(10, 0, 700);
            }
            let end = walk(&forge);
            match kind {
                0xD0 => assert_eq!(end, WalEnd::ReachesEnd, "{major}"),
                _ => assert_eq!(stops(&end), Some(&StopReason::NotOverwriting { record: at })),
            }
        }
    });
}

#[test]
fn a_page_must_continue_the_previous_one() {
    each(|major| {
        let forge = full(major, 0, &[3000]);
        let stop = |at: usize, byte: u8| {
            let mut bytes = forge.bytes.clone();
            bytes[5 * PAGE + at] = byte;
            stops(&walk_pages(&bytes, forge.name)).cloned().unwrap()
        };
        assert!(matches!(stop(0, 0), StopReason::NotWal(_)));
        assert!(matches!(stop(3, 0xFF), StopReason::NotWal(_)));
        assert!(matches!(stop(4, 9), StopReason::OtherTimeline { .. }));
        assert!(matches!(stop(4, 2), StopReason::OtherTimeline { .. }));
        let high_half = if major.record_format() == RecordFormat::Halves { 8 } else { 12 };
        assert!(matches!(stop(high_half, 9), StopReason::OtherPosition { .. }));
    });
}

#[test]
fn short_missing_and_surplus_pages_are_errors() {
    each(|major| {
        let forge = full(major, 0, &[3000]);
        let end = walk_pages(&forge.bytes[..PAGE + 100], forge.name);
        assert_eq!(stops(&end), Some(&StopReason::PageLength { bytes: 100, block_size: PAGE }));
        let end = walk_pages(&forge.bytes[..2 * PAGE], forge.name);
        assert_eq!(stops(&end), Some(&StopReason::PagesMissing { pages: 2, expected: 128 }));
        let more = [&forge.bytes[..], &forge.bytes[PAGE..2 * PAGE]].concat();
        assert_eq!(stops(&walk_pages(&more, forge.name)), Some(&StopReason::PastSegment));
    });
}

#[test]
fn a_page_of_another_major_ends_the_log() {
    let mut forge = full(PgMajor::of(14, 0), 0, &[3000]);
    let other = full(PgMajor::of(15, 0), 0, &[3000]);
    forge.bytes[PAGE..2 * PAGE].copy_from_slice(&other.bytes[PAGE..2 * PAGE]);
    let found = PgMajor::of(15, 0);
    let page = Lsn(forge.base.0 + PAGE as u64);
    assert_eq!(stops(&walk(&forge)), Some(&StopReason::OtherMajor { page, found }));
}
