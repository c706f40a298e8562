use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::wal::{SegmentName, SegmentPlace, SegmentSize};

fn name(text: &str) -> SegmentName {
    text.parse().unwrap()
}

const NAMES: [&str; 8] = [
    "000000010000000C00000098",
    "000000010000000C00000097",
    "000000020000000C00000050",
    "000000020000000D00000001",
    "00000002.history",
    "000000010000000C00000001.00000020.backup",
    "000000010000000C00000002.partial",
    "000000010000000c00000003",
];

fn plan(restart: Option<&str>, keep: u32, floors: &[Floor]) -> Vec<&'static str> {
    let retention = Retention {
        restored: name("000000010000000C00000099"),
        restart_point: RestartPoint::parse(restart),
        layout: Some(SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT)),
        keep,
        floors,
    };
    let prune = Prune::after_restore(&retention);
    prune.map_or(Vec::new(), |prune| prune.plan(NAMES).collect())
}

#[test]
fn segments_before_the_restart_point_are_removed_on_any_timeline() {
    assert_eq!(
        plan(Some("000000010000000C00000098"), 0, &[]),
        ["000000010000000C00000097", "000000020000000C00000050"]
    );
}

#[test]
fn without_a_usable_restart_point_nothing_is_removed() {
    let future = "000000010000000C0000009A";
    for restart in ["%r", ""] {
        assert!(plan(Some(restart), 0, &[]).is_empty(), "{restart}");
    }
    for restart in ["000000000000000000000000", "nonsense", future] {
        assert!(plan(Some(restart), 2, &[]).is_empty(), "{restart}");
    }
    assert!(plan(None, 0, &[]).is_empty());
}

#[test]
fn the_keep_count_is_used_only_without_a_restart_point() {
    assert_eq!(plan(None, 2, &[]), ["000000020000000C00000050"]);
    assert_eq!(plan(Some("000000010000000C00000050"), 1, &[]), [""; 0]);
    assert!(plan(None, u32::MAX, &[]).is_empty());
}

#[test]
fn segments_that_another_consumer_needs_or_may_need_are_kept() {
    let restart = Some("000000010000000C00000098");
    let floor = Floor::From(name("000000010000000C00000090").place);
    assert_eq!(plan(restart, 0, &[floor]), ["000000020000000C00000050"]);
    assert!(plan(restart, 0, &[floor, Floor::Unknown]).is_empty());
}

#[test]
fn a_floor_is_limited_to_a_number_of_segments_before_the_restored_one() {
    let layout = SegmentLayout::new("9.2".parse().unwrap(), SegmentSize::DEFAULT);
    let place = |text: &str| name(&format!("00000001{text}")).place;
    let restored = place("0000000C00000002");
    let limited = |floor, segments| Floor::From(place(floor)).limited(restored, layout, segments);
    let from = |floor| Floor::From(place(floor));
    assert_eq!(limited("0000000B00000090", 3), from("0000000B000000FE"), "9.2 has no segment FF");
    assert_eq!(limited("0000000C00000001", 3), from("0000000C00000001"));
    assert_eq!(limited("0000000C00000005", 3), from("0000000C00000005"));
    assert_eq!(limited("0000000B00000090", 0), from("0000000C00000002"));
    assert_eq!(limited("0000000B00000090", u64::MAX), from("0000000B00000090"));
    assert_eq!(Floor::Unknown.limited(restored, layout, 3), Floor::Unknown);
}

proptest! {
    #[test]
    fn a_needed_segment_is_never_removed(log_id in 0u32..3, segment in 0u32..256, r_log in 0u32..3,
        r_segment in 0u32..256, f_log in 0u32..3, f_segment in 0u32..256) {
        let place = |log_id, segment| SegmentPlace { log_id, segment };
        let restored = SegmentName { place: place(2, 255), ..name("000000010000000000000000") };
        let restart = SegmentName { place: place(r_log, r_segment), ..restored };
        let candidate = SegmentName { place: place(log_id, segment), ..restored }.to_string();
        let floor = place(f_log, f_segment);
        let retention = Retention { restored, restart_point: RestartPoint::At(restart), layout: None,
            keep: 0, floors: &[Floor::From(floor)] };
        let prune = Prune::after_restore(&retention).unwrap();
        let removed = prune.plan([candidate]).next().is_some();
        prop_assert_eq!(removed, place(log_id, segment) < restart.place.min(floor));
    }
}

fn kept(list: bool, names: &[&str], oldest: &str) -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let prune = Prune::before(oldest, 2, 0);
    let run = if list { Prune::list } else { Prune::step_back };
    let removed = run(&prune, dir.path(), &mut |_| ()).unwrap();
    let left = fs::read_dir(dir.path()).unwrap();
    let left: BTreeSet<_> = left.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(removed as usize, names.len() - left.len());
    left
}

#[test]
fn both_ways_remove_older_segments_and_nothing_else() {
    let older =
        ["0000000100000001000000FE", "000000020000000100000000", "0000000100000000000000FF"];
    let stays = [
        "000000010000000100000100",
        "000000010000000200000000",
        "00000002.history",
        "000000010000000100000001.partial",
        "000000010000000100000001.00000020.backup",
    ];
    let all: Vec<&str> = older.iter().chain(&stays).copied().collect();
    let expected = stays.iter().map(|s| s.to_string()).collect();
    assert_eq!(kept(true, &all, "00000001000000FF"), expected);
    // By name a gap ends the search: segments behind it stay until the next listing.
    let near = ["0000000100000001000000FE", "0000000200000001000000FD"];
    let all: Vec<&str> = near.iter().chain(&stays).copied().collect();
    assert_eq!(kept(false, &all, "00000001000000FF"), expected);
    assert_eq!(kept(false, &all, "0000000200000001000000FF"), expected);
}

#[test]
fn a_directory_is_listed_more_rarely_the_larger_it_is() {
    let listings = |size| (0..1 << 16).filter(|&turn| is_turn_to_list(size, turn)).count();
    assert_eq!(listings(4096), 1 << 16);
    assert_eq!(listings(SMALL), 1 << 16);
    assert_eq!(listings(SMALL + 1), (1 << 16) / 8);
    assert_eq!(listings(32 << 20), (1 << 16) / 4096);
    assert!(!is_turn_to_list(SMALL + 1, 0x1_0000_0100));
}

#[test]
fn stepping_back_continues_in_the_log_id_before() {
    let names = ["000000010000000100000000", "0000000100000000000000FF"];
    assert!(kept(false, &names, "0000000100000001").is_empty());
}

#[test]
fn a_timeline_that_is_named_is_looked_for_too() {
    let prune = Prune::before("0000000100000001", 20, 0).and_timeline(3).and_timeline(14);
    assert_eq!(prune.timelines, [13, 14, 15, 16, 17, 18, 19, 20, 3]);
    assert_eq!(Prune::before("0000000100000001", 2, 0).timelines, [1, 2]);
}
