use proptest::prelude::*;

use super::*;
use crate::version::PgMajor;
use crate::wal::{SegmentSize, TimelineId};
use std::fs;

fn layout(major: &str) -> SegmentLayout {
    SegmentLayout::new(major.parse::<PgMajor>().unwrap(), SegmentSize::DEFAULT)
}

fn name(text: &str) -> SegmentName {
    text.parse().unwrap()
}

fn one() -> TimelineHistory {
    TimelineHistory::without_ancestors(TimelineId::FIRST)
}

fn two(forked_at: &str) -> TimelineHistory {
    let text = format!("1\t{forked_at}\tno recovery target specified\n");
    TimelineHistory::parse(TimelineId::new(2).unwrap(), text.as_bytes()).unwrap()
}

/// The gap of 15 from 00000001000000000000007A on, in last digits: `1:7B` is timeline 1's.
fn found(listing: &[&str], histories: &[TimelineHistory]) -> Option<(String, String)> {
    let long = |text: &&str| name(&format!("0000000{}00000000000000{}", &text[..1], &text[2..]));
    let next = long(&"1:7A").place;
    let found = gap(listing.iter().map(long), next, histories, layout("15"), &|_| false)?;
    let short = |name: SegmentName| {
        let text = name.to_string();
        format!("{}:{}", &text[7..8], &text[22..])
    };
    Some((short(found.missing), short(found.found)))
}

fn pair(missing: &str, found: &str) -> Option<(String, String)> {
    Some((missing.into(), found.into()))
}

#[test]
fn a_later_segment_without_the_next_one_is_a_gap() {
    assert_eq!(found(&["1:78", "1:79", "1:7B", "1:7C"], &[one()]), pair("1:7A", "1:7B"));
    assert_eq!(found(&["1:7E", "1:7A", "1:7B"], &[one()]), pair("1:7C", "1:7E"));
    for complete in [&[][..], &["1:79"], &["1:77", "1:79"], &["1:7A", "1:7B"]] {
        assert_eq!(found(complete, &[one()]), None, "{complete:?}");
    }
    let text = gap(
        [name("00000001000000000000007B")],
        name("00000001000000000000007A").place,
        &[one()],
        layout("15"),
        &|_| false,
    );
    let text = text.unwrap().to_string();
    assert_eq!(text, "00000001000000000000007A is missing but 00000001000000000000007B is here");
}

#[test]
fn a_segment_may_have_the_name_of_each_timeline_that_contains_it() {
    // In the middle of 7B, and at its beginning.
    for fork in ["0/7B800000", "0/7B000000"] {
        let both = [one(), two(fork)];
        assert_eq!(found(&["1:7A", "2:7B", "2:7C"], &both), None, "{fork}");
        assert_eq!(found(&["2:7B", "2:7C"], &both), pair("1:7A", "2:7B"), "{fork}");
        assert_eq!(found(&["1:7A", "1:7B", "2:7C"], &both), None, "{fork}");
        assert_eq!(found(&["2:7B"], &[one()]), None, "of an unknown timeline");
        // Regression: it was called by the name that it would have on timeline 1.
        assert_eq!(found(&["1:7A", "2:7B", "2:7D"], &both), pair("2:7C", "2:7D"), "{fork}");
        // The standby replays timeline 2 and has not reached the fork.
        assert_eq!(found(&["1:7A", "2:7C"], &both[1..]), pair("2:7B", "2:7C"), "{fork}");
        assert_eq!(found(&["2:7B"], &both[1..]), pair("1:7A", "2:7B"), "{fork}");
    }
    // A standby that follows timeline 2 never needs the WAL of timeline 1 after the fork.
    assert_eq!(found(&["1:7A", "1:7C"], &[two("0/7B000000")]), None);
}

#[test]
fn before_9_3_the_last_segment_of_a_log_id_is_not_missing() {
    let listing = ["0000000100000000000000FE", "000000010000000100000000"].map(name);
    let next = listing[0].place;
    let of = |major| gap(listing, next, &[one()], layout(major), &|_| false);
    assert_eq!(of("9.2"), None);
    assert_eq!(of("9.3").unwrap().missing, name("0000000100000000000000FF"));
}

#[test]
fn segments_of_the_server_are_not_missing_unless_they_are_recycled_files() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/15");
    let control = fs::read(samples.join("pg_control")).unwrap();
    let control = ControlFile::parse(&control).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (archive, wal) = (dir.path().join("archive"), dir.path().join("pg_wal"));
    [&archive, &wal].into_iter().for_each(|made| fs::create_dir(made).unwrap());
    let next = next_needed(Given::Nothing, &control, dir.path());
    let after = control.layout().next(next).unwrap();
    let last = control.layout().next(after).unwrap();
    fs::write(archive.join(last.to_string()), "").unwrap();
    fs::write(archive.join(format!("{next}.partial")), "").unwrap();
    let gap = || Archive::open(&archive).unwrap().gap_after(next, &control, dir.path()).unwrap();
    assert_eq!(gap(), Some(Gap { missing: next, found: last }));
    let of = |given| {
        let archive = Archive::open(&archive).unwrap();
        archive.gap_of_standby(given, &control, dir.path()).unwrap()
    };
    assert_eq!(of(Given::Nothing), gap());
    assert_eq!(of(Given::Segment(next)), Some(Gap { missing: after, found: last }));
    assert_eq!(of(Given::Unknown), None, "it was replayed and removed");
    let has = |name: SegmentName, content: SegmentName| {
        let page = first_page(content, &control);
        let file = File::create(wal.join(name.to_string())).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &page, 0).unwrap();
        file.set_len(control.segment_size.bytes()).unwrap();
    };
    has(next, next);
    assert_eq!(gap(), Some(Gap { missing: after, found: last }));
    assert_eq!(of(Given::Unknown), gap(), "the segments after it never existed");
    has(after, next);
    assert_eq!(gap(), Some(Gap { missing: after, found: last }));
    has(after, after);
    assert_eq!(gap(), None);
}

/// A first page as 15 writes it.
fn first_page(name: SegmentName, control: &ControlFile) -> Vec<u8> {
    let mut page = vec![0; control.wal_block_size as usize];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &control.major.unwrap().wal_magic().unwrap().to_le_bytes());
    put(2, &2u16.to_le_bytes());
    put(4, &name.timeline.number().to_le_bytes());
    put(8, &control.layout().start(name.place).unwrap().0.to_le_bytes());
    put(24, &control.system_identifier.to_le_bytes());
    put(32, &(control.segment_size.bytes() as u32).to_le_bytes());
    put(36, &control.wal_block_size.to_le_bytes());
    page
}

#[test]
fn the_next_segment_follows_the_last_restored_one_or_the_redo_position() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/15");
    let control = fs::read(samples.join("pg_control")).unwrap();
    let control = ControlFile::parse(&control).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let layout = control.layout();
    let next = |given| next_needed(given, &control, dir.path());
    let start = next(Given::Nothing);
    assert_eq!(start.place, redo_place(dir.path(), &control));
    assert_eq!(next(Given::Unknown), start);
    let later = layout.next(start).unwrap();
    assert_eq!(next(Given::Segment(start)), later);
    let earlier = layout.previous(layout.previous(start).unwrap()).unwrap();
    assert_eq!(next(Given::Segment(earlier)), start);
    let on_two = SegmentName { timeline: TimelineId::new(2).unwrap(), ..start };
    assert_eq!(next(Given::Segment(on_two)).timeline, on_two.timeline);
}

proptest! {
    #[test]
    fn a_gap_is_the_first_missing_segment_below_an_existing_one(
        numbers in proptest::collection::btree_set(240u64..270, 0..20),
        own in proptest::collection::btree_set(240u64..270, 0..10),
        next in 238u64..262,
        major in prop_oneof![Just("9.2"), Just("9.3"), Just("18")],
    ) {
        let layout = layout(major);
        let at = |number| SegmentName {
            timeline: TimelineId::FIRST,
            place: layout.place(number).unwrap(),
        };
        let number = |name: SegmentName| layout.number(name.place).unwrap();
        let listing = numbers.iter().map(|&n| at(n));
        let has = |name| own.contains(&number(name));
        let is_there = |n: &u64| numbers.contains(n) || own.contains(n);
        let last = numbers.range(next..).next_back().copied().unwrap_or(next);
        let hole = (next..last).find(|n| !is_there(n));
        let found = gap(listing, at(next).place, &[one()], layout, &has);
        prop_assert_eq!(found.map(|gap| number(gap.missing)), hole);
        let after = hole.and_then(|hole| numbers.range(hole..).next().copied());
        prop_assert_eq!(found.map(|gap| number(gap.found)), after);
    }
}

/// Streaming ended in the middle of it, so that a receipt is not complete by it.
#[test]
fn a_segment_that_was_streamed_in_part_is_not_whole() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
    let packed = std::fs::read(sample.join("wal/00000002000000000000001C.partial.zst")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let name: SegmentName = "00000002000000000000001C".parse().unwrap();
    std::fs::write(dir.path().join(name.to_string()), zstd::decode_all(&packed[..]).unwrap())
        .unwrap();
    let expected = Expected::default();
    assert!(has_segment(dir.path(), name, &expected));
    assert!(!has_whole_segment(dir.path(), name, &expected));
}
