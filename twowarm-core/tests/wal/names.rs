//! Names of WAL files, WAL locations, and the conversions between them.

use proptest::prelude::*;
use twowarm_core::version::PgMajor;
use twowarm_core::wal::{
    Lsn, SegmentLayout, SegmentName, SegmentPlace, SegmentSize, TimelineId, WalFileName,
};

fn major(text: &str) -> PgMajor {
    text.parse().unwrap()
}

fn layout(version: &str, megabytes: u64) -> SegmentLayout {
    SegmentLayout::new(major(version), SegmentSize::new(megabytes << 20).unwrap())
}

fn name(text: &str) -> SegmentName {
    text.parse().unwrap()
}

fn next(layout: SegmentLayout, from: &str) -> String {
    layout.next(name(from)).unwrap().to_string()
}

#[test]
fn names_that_servers_write() {
    for text in [
        "000000010000000000000001",
        "FFFFFFFFFFFFFFFFFFFFFFFF",
        "000000020000000000000008.partial",
        "00000002.history",
        "000000010000000000000003.00000028.backup",
    ] {
        assert_eq!(text.parse::<WalFileName>().unwrap().to_string(), text);
    }
}

#[test]
fn names_that_servers_do_not_write() {
    for text in [
        "",
        "00000001000000000000000",
        "0000000100000000000000010",
        "00000001000000000000000a",
        "000000000000000000000001",
        "+00000010000000000000001",
        "00000001000000000000000\u{e9}",
        "0000000100000000000000é",
        "é0000000100000000000001",
        "RECOVERYXLOG",
        "RECOVERYHISTORY",
        "00000000.history",
        "0000002.history",
        "00000002.history.partial",
        "000000010000000000000001.part",
        "000000010000000000000001.partial.partial",
        "000000010000000000000003.28.backup",
        "000000010000000000000003.0000002a.backup",
        "000000010000000000000003..backup",
        "000000010000000000000003.backup",
        "000000010000000000000001\n",
        " 000000010000000000000001",
        "../0000010000000000000001",
    ] {
        assert!(text.parse::<WalFileName>().is_err(), "{text:?}");
    }
}

#[test]
fn what_a_name_holds() {
    let segment = name("000000030000000100000002");
    for text in ["000000030000000100000002", "000000030000000100000002.partial"] {
        assert_eq!(text.parse::<WalFileName>().unwrap().segment(), Some(segment));
    }
    let history: WalFileName = "0000000A.history".parse().unwrap();
    assert_eq!((history.segment(), history.timeline().number()), (None, 10));
    assert_eq!(WalFileName::Backup(segment, 0x28).timeline().number(), 3);
}

/// Segment names that servers of these versions gave for a WAL location.
#[test]
fn observed_names() {
    for (version, megabytes, lsn, file) in [
        ("11", 1, "2/80000001", "000000010000000200000800"),
        ("18", 64, "0/FFFFFFFF", "00000001000000000000003F"),
        ("18", 64, "2/80000001", "000000010000000200000020"),
        ("12", 1024, "2/80000001", "000000010000000200000002"),
        ("9.3", 16, "0/FFFFFFFF", "0000000100000000000000FF"),
        ("8.3", 16, "1/0", "000000010000000100000000"),
        ("9.6", 16, "0/8000098", "000000010000000000000008"),
    ] {
        let lsn: Lsn = lsn.parse().unwrap();
        let found = layout(version, megabytes).containing(TimelineId::FIRST, lsn);
        assert_eq!(found.to_string(), file, "{version} {lsn}");
    }
}

#[test]
fn before_9_3_the_last_segment_of_a_log_id_is_skipped() {
    let (old, new) = (layout("9.2", 16), layout("9.3", 16));
    assert_eq!(next(old, "0000000100000000000000FE"), "000000010000000100000000");
    assert_eq!(next(new, "0000000100000000000000FE"), "0000000100000000000000FF");
    assert_eq!(next(new, "0000000100000000000000FF"), "000000010000000100000000");
    assert!(old.start(name("0000000100000000000000FF").place).is_err());
    assert_eq!(old.next(name("0000000100000000000000FF")), None);
    assert_eq!(next(layout("8.4", 64), "00000001000000000000003E"), "000000010000000100000000");
    assert_eq!(next(layout("10", 1), "000000010000000000000FFF"), "000000010000000100000000");
}

#[test]
fn positions_that_do_not_exist_before_9_3() {
    let old = layout("9.2", 16);
    let hole: Lsn = "0/FF000000".parse().unwrap();
    let at = |text: &str| Some(name(text));
    assert_eq!(old.containing(TimelineId::FIRST, hole).to_string(), "000000010000000100000000");
    assert_eq!(old.ending_at(TimelineId::FIRST, hole), at("0000000100000000000000FE"));
    assert_eq!(old.ending_at(TimelineId::FIRST, Lsn(1 << 32)), at("0000000100000000000000FE"));
    let last = old.containing(TimelineId::FIRST, Lsn(u64::MAX));
    assert_eq!(last.to_string(), "00000001FFFFFFFF000000FE");
}

#[test]
fn the_ends_of_the_log() {
    for layout in [layout("9.2", 16), layout("18", 16), layout("11", 1), layout("11", 1024)] {
        let last = (layout.segments_per_log_id() - 1) as u32;
        let timeline = TimelineId::FIRST;
        let first = SegmentName { timeline, place: SegmentPlace { log_id: 0, segment: 0 } };
        let end = SegmentName { timeline, place: SegmentPlace { log_id: u32::MAX, segment: last } };
        assert_eq!(layout.previous(first), None);
        assert_eq!(layout.next(end), None);
        assert_eq!(layout.ending_at(timeline, Lsn(0)), None);
        let length = i64::from(u32::MAX) * (i64::from(last) + 1) + i64::from(last);
        assert_eq!(layout.distance(first.place, end.place), Ok(length));
        assert_eq!(layout.distance(end.place, first.place), Ok(-length));
    }
}

#[test]
fn segment_sizes() {
    assert_eq!(SegmentSize::DEFAULT.to_string(), "16 MB");
    for bytes in [0, 1, 512 << 10, (16 << 20) - 1, 3 << 20, 2 << 30, 1 << 52, u64::MAX] {
        assert!(SegmentSize::new(bytes).is_err(), "{bytes}");
    }
    assert_eq!((0..=10).filter(|n| SegmentSize::new(1 << (20 + n)).is_ok()).count(), 11);
}

#[test]
fn positions_and_timelines_as_text() {
    assert_eq!(Lsn::from_halves(0x16, 0xB374_D848).to_string(), "16/B374D848");
    assert_eq!("0/0".parse(), Ok(Lsn::INVALID));
    assert_eq!("a/b".parse(), Ok(Lsn(0xA_0000_000B)));
    for text in ["", "/", "1", "1/", "/1", "1/2/3", "1/123456789", "+1/2", "1/0x2", " 1/2", "1 /2"]
    {
        assert!(text.parse::<Lsn>().is_err(), "{text:?}");
    }
    assert_eq!("12".parse::<TimelineId>().unwrap().number(), 12);
    for text in ["", "0", "-1", "+1", "4294967296", "1.", "A"] {
        assert!(text.parse::<TimelineId>().is_err(), "{text:?}");
    }
}

#[test]
fn majors() {
    let texts = [
        "8.2", "8.3", "8.4", "9.0", "9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "10", "11", "12",
        "13", "14", "15", "16", "17", "18", "19",
    ];
    let numbers = [
        80223, 80323, 80422, 90023, 90124, 90224, 90320, 90415, 90510, 90606, 100_023, 110_022,
        120_022, 130_023, 140_023, 150_004, 160_014, 170_010, 180_004, 190_000,
    ];
    for ((known, text), number) in PgMajor::ALL.into_iter().zip(texts).zip(numbers) {
        assert_eq!(known.to_string(), text);
        assert_eq!(format!("{text}\n").parse(), Ok(known));
        assert_eq!(PgMajor::from_version_num(number), known);
        assert_eq!(known.wal_magic().and_then(PgMajor::from_wal_magic), Some(known));
    }
    for text in ["", "8.1", "7.4", "9", "8", "10.1", "9.6.1", "18beta", "1800000", "-10", "+10"] {
        assert!(text.parse::<PgMajor>().is_err(), "{text:?}");
    }
    assert!(PgMajor::ALL.is_sorted());
    // A development version of 17.
    assert_eq!(PgMajor::from_wal_magic(0xD115), None);
    assert_eq!(major("20").wal_magic(), None);
}

fn layouts() -> impl Strategy<Value = SegmentLayout> {
    (prop::sample::select(&PgMajor::ALL[..]), 0..=10_u32)
        .prop_map(|(major, n)| SegmentLayout::new(major, SegmentSize::new(1 << (20 + n)).unwrap()))
}

fn segments() -> impl Strategy<Value = (SegmentLayout, SegmentName)> {
    (layouts(), 1..u32::MAX, any::<u64>()).prop_map(|(layout, timeline, number)| {
        let place = layout.place(number % (layout.segments_per_log_id() << 32)).unwrap();
        (layout, SegmentName { timeline: TimelineId::new(timeline).unwrap(), place })
    })
}

proptest! {
    #[test]
    fn names_come_back_from_their_text((_, segment) in segments(), offset: u32) {
        for name in [
            WalFileName::Segment(segment),
            WalFileName::Partial(segment),
            WalFileName::History(segment.timeline),
            WalFileName::Backup(segment, offset),
        ] {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn text_that_parses_prints_as_it_was(text in "[0-9A-Fa-f.hp]{0,26}(\\.(history|partial|backup))?") {
        if let Ok(name) = text.parse::<WalFileName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn names_order_as_their_text((_, a) in segments(), (_, b) in segments()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn next_and_previous_are_inverse((layout, segment) in segments()) {
        if let Some(next) = layout.next(segment) {
            prop_assert_eq!(layout.previous(next), Some(segment));
            prop_assert_eq!(layout.distance(segment.place, next.place), Ok(1));
            prop_assert!(next > segment);
            let end = layout.start(next.place).unwrap();
            prop_assert_eq!(layout.ending_at(segment.timeline, end), Some(segment));
        }
    }

    #[test]
    fn a_segment_holds_its_positions((layout, segment) in segments(), at: u64) {
        let start = layout.start(segment.place).unwrap();
        let lsn = Lsn(start.0 + at % layout.size().bytes());
        prop_assert_eq!(layout.containing(segment.timeline, lsn), segment);
        let number = layout.number(segment.place).unwrap();
        prop_assert_eq!(layout.place(number), Some(segment.place));
        prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }

    #[test]
    fn every_position_has_a_segment(layout in layouts(), lsn: u64) {
        let segment = layout.containing(TimelineId::FIRST, Lsn(lsn));
        prop_assert!(layout.start(segment.place).is_ok());
    }
}
