//! Reads the records of segments that real servers of 8.2 to 19 wrote, sound and damaged.

use twowarm_core::wal::{
    Completeness, ControlFile, Expected, ForkPoint, SegmentName, SegmentWalk, StopReason,
    TimelineHistory, TimelineId, WalEnd, WalFileName, check_segment_header, completeness,
};

use crate::samples;

fn name(text: &str) -> SegmentName {
    text.parse::<WalFileName>().unwrap().segment().unwrap()
}

fn walk(bytes: &[u8], name: SegmentName) -> WalEnd {
    let length = bytes.len() as u64;
    let header = check_segment_header(bytes, name, length, &Expected::default()).unwrap();
    let mut walk = SegmentWalk::new(&header, name);
    bytes.chunks(header.block_size() as usize).for_each(|page| walk.push(page));
    walk.finish()
}

/// Where the WAL of each segment ends. The switches of 15 agree with pg_waldump, the stops with the fork in the
/// history file of the next timeline.
const ENDS: &str = include_str!("ends.txt");

#[test]
fn every_segment_ends_where_it_should() {
    let mut seen = String::new();
    for sample in samples::all() {
        let control = ControlFile::parse(&sample.read("pg_control")).unwrap();
        for file in sample.segments("wal") {
            let bytes = sample.segment("wal", &file);
            let expected = Expected::of(&control);
            check_segment_header(&bytes, name(&file), bytes.len() as u64, &expected).unwrap();
            let end = match walk(&bytes, name(&file)) {
                WalEnd::ReachesEnd => "reaches its end".to_owned(),
                WalEnd::Switched { at } => format!("switched at {at}"),
                WalEnd::Stops { at, why } => format!("stops at {at}: {why}"),
            };
            seen += &format!("{} {file} {end}\n", sample.name);
        }
    }
    assert_eq!(seen, ENDS, "what was found:\n{seen}");
}

/// A promotion in the middle of a segment forks where the WAL of the old timeline stops. 9.0 to 9.4 archive that
/// segment under its own name, later versions as `.partial`.
#[test]
fn the_wal_of_an_abandoned_segment_stops_at_the_fork() {
    for sample in samples::all() {
        let segments = sample.segments("wal");
        for file in
            segments.iter().filter(|f| f.ends_with(".partial") || f.ends_with("20000000000000007"))
        {
            let WalEnd::Stops { at, .. } = walk(&sample.segment("wal", file), name(file)) else {
                continue;
            };
            let timeline = TimelineId::new(3).unwrap();
            let history =
                TimelineHistory::parse(timeline, &sample.read("00000003.history")).unwrap();
            match *history.begins().unwrap() {
                ForkPoint::Position(fork) => assert_eq!(at, fork, "{}", sample.name),
                ForkPoint::Segment(fork) => assert_eq!(name(file), fork, "{}", sample.name),
            }
        }
    }
}

fn complete(bytes: &[u8], name: SegmentName) -> Completeness {
    let length = bytes.len() as u64;
    let header = check_segment_header(bytes, name, length, &Expected::default()).unwrap();
    completeness(name, &header, &mut &bytes[..]).unwrap()
}

/// No segment of a real server is taken for damaged, not even one whose WAL ends in the middle: 9.0 to 9.4 archive
/// segments that a promotion left unfinished.
#[test]
fn no_segment_of_a_real_server_is_taken_for_damaged() {
    let mut unfinished = 0;
    for sample in samples::all() {
        for file in sample.segments("wal") {
            let bytes = sample.segment("wal", &file);
            let stops = stops(&walk(&bytes, name(&file))).is_some();
            match complete(&bytes, name(&file)) {
                Completeness::Whole => assert!(!stops, "{} {file}", sample.name),
                Completeness::Unfinished { .. } => unfinished += 1,
                other => panic!("{} {file}: {other:?}", sample.name),
            }
        }
    }
    assert_eq!(unfinished, 10);
}

/// Full segments of each record format.
fn full() -> Vec<(SegmentName, Vec<u8>)> {
    [
        ("8.2", "000000010000000000000000"),
        ("9.4", "000000010000000000000001"),
        ("18-1MB", "00000001000000000000000F"),
        ("15", "00000001000000000000000B"),
    ]
    .map(|(version, file)| (name(file), samples::one(version).segment("wal", file)))
    .into()
}

fn stops(end: &WalEnd) -> Option<&StopReason> {
    match end {
        WalEnd::Stops { why, .. } => Some(why),
        _ => None,
    }
}

#[test]
fn a_full_segment_cut_off_anywhere_stops() {
    for (name, whole) in full() {
        assert_eq!(walk(&whole, name), WalEnd::ReachesEnd);
        let pages = whole.len() / 8192;
        let mut bytes = whole;
        for page in [pages - 1, pages - 2, pages / 2, 1] {
            bytes[page * 8192..].fill(0);
            assert!(stops(&walk(&bytes, name)).is_some(), "{name} from page {page}");
        }
    }
}

#[test]
fn a_flipped_byte_stops_the_walk() {
    for (name, mut bytes) in full() {
        let mut state = 1_u64;
        let mut caught = 0;
        for _ in 0..40 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            // Zeros are unchecked padding, some bits of page headers have no effect, and the checksum of a record that
            // begins in the segment before is there.
            if bytes[at] == 0 || at % 8192 < 40 {
                continue;
            }
            bytes[at] ^= 0x40;
            let end = walk(&bytes, name);
            bytes[at] ^= 0x40;
            caught += u32::from(stops(&end).is_some());
            let first = name.to_string() == "00000001000000000000000B";
            assert!(first || stops(&end).is_some(), "{name} at {at:#X}: {end:?}");
        }
        assert!(caught > 0 || name.to_string() == "00000001000000000000000B");
    }
}

/// Before 9.4 recycled segments are not cleared: old pages follow a switch, and in the copy made by a promotion these
/// even have the right page addresses.
#[test]
fn old_pages_after_a_switch_are_not_looked_at() {
    let sample = samples::one("8.2");
    let file = "000000010000000000000003";
    let mut bytes = sample.segment("wal", file);
    let end = walk(&bytes, name(file));
    assert!(matches!(end, WalEnd::Switched { .. }));
    let old = sample.segment("wal", "000000010000000000000000");
    bytes[8192..].copy_from_slice(&old[8192..]);
    assert_eq!(walk(&bytes, name(file)), end);
    for page in bytes.chunks_mut(8192).skip(1) {
        page[15] = 3;
    }
    assert_eq!(walk(&bytes, name(file)), end);
}

/// Reads from the last record of one segment into the next. Returns where the WAL stops, if it does.
fn cross(before: (&str, &[u8]), next: (&str, &[u8])) -> Option<Option<WalEnd>> {
    let header = |(file, bytes): (&str, &[u8])| {
        check_segment_header(bytes, name(file), bytes.len() as u64, &Expected::default()).unwrap()
    };
    let (first, second) = (header(before), header(next));
    let block = first.block_size() as usize;
    let mut walk = SegmentWalk::new(&second, name(next.0));
    next.1.chunks(block).for_each(|page| walk.push(page));
    let begin = walk.links_to()?;
    let mut walk = SegmentWalk::from_record(&first, name(before.0), begin)?;
    before.1.chunks(block).skip(walk.next_page() as usize).for_each(|page| walk.push(page));
    let mut walk = walk.into_next(&second, name(next.0))?;
    let begins = walk.sound_to().max(second.layout().start(name(next.0).place).unwrap());
    for page in next.1.chunks(block) {
        if walk.sound_to() <= begins {
            walk.push(page);
        }
    }
    let stops = walk.ended().filter(|end| !end.is_whole() && walk.sound_to() <= begins).cloned();
    Some(stops)
}

#[test]
fn a_record_that_crosses_into_the_next_segment_is_checked_whole() {
    let mut crossed = 0;
    for sample in samples::all() {
        let files = sample.segments("wal");
        for pair in files.windows(2).filter(|pair| pair[0][..8] == pair[1][..8]) {
            let control = ControlFile::parse(&sample.read("pg_control")).unwrap();
            let is_next = control.layout().next(name(&pair[0])) == Some(name(&pair[1]));
            if !is_next || pair[1].contains('.') {
                continue;
            }
            let [first, second] = [&pair[0], &pair[1]].map(|file| sample.segment("wal", file));
            let walk = |first: &[u8]| cross((&pair[0], first), (&pair[1], &second));
            let Some(stops) = walk(&first) else { continue };
            assert_eq!(stops, None, "{} {pair:?}", sample.name);
            // The server of 15 abandoned that record in a crash, so it is never replayed.
            let given_up = sample.name == "15" && pair[1].ends_with("10");
            if second[2] & 1 == 0 || given_up {
                continue;
            }
            // Its last byte belongs to the spanning record. The segment alone does not show the damage.
            let mut damaged = first.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(walk(&damaged).is_none_or(|stops| stops.is_some()), "{} {pair:?}", sample.name);
            crossed += 1;
        }
    }
    assert!(crossed > 0, "none of the samples has such a record");
}
