use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::version::PgMajor;
use crate::wal::records::tests::forge::Forge;

const MIB: usize = 1024 * 1024;

/// A standby's archive and data directory.
struct Standby {
    dir: TempDir,
    log: Vec<(SegmentName, Vec<u8>)>,
}

impl Standby {
    /// With all segments of the log in its archive.
    fn with(log: Vec<(SegmentName, Vec<u8>)>) -> Standby {
        let standby = Standby { dir: tempfile::tempdir().unwrap(), log };
        for directory in ["archive", "data/pg_wal"] {
            fs::create_dir_all(standby.dir.path().join(directory)).unwrap();
        }
        for (name, bytes) in &standby.log {
            standby.put("archive", *name, bytes);
        }
        standby
    }

    fn path(&self, directory: &str, name: SegmentName) -> PathBuf {
        self.dir.path().join(directory).join(name.to_string())
    }

    fn put(&self, directory: &str, name: SegmentName, bytes: &[u8]) {
        fs::write(self.path(directory, name), bytes).unwrap();
    }

    fn name(&self, number: usize) -> SegmentName {
        self.log[number].0
    }

    /// Moves a segment's copy elsewhere.
    fn moved(&self, number: usize, from: &str, to: &str) {
        let name = self.name(number);
        fs::rename(self.path(from, name), self.path(to, name)).unwrap();
    }

    fn remove(&self, number: usize) {
        fs::remove_file(self.path("archive", self.name(number))).unwrap();
    }

    /// Flips a bit in the middle of a segment's copy.
    fn damage(&self, directory: &str, number: usize) {
        let mut bytes = self.log[number].1.clone();
        bytes[MIB / 2 + 100] ^= 4;
        self.put(directory, self.name(number), &bytes);
    }

    /// The result for this segment; `None` if its own records are not sound.
    fn restore(&self, number: usize) -> Option<Crossing> {
        let (name, path) = (self.name(number), self.path("archive", self.name(number)));
        let copy = Copy::open(&path, name, &Expected::default()).unwrap();
        let mut walk = SegmentWalk::new(&copy.header, name);
        copy.push_to(&mut walk).unwrap();
        let links_to = walk.links_to();
        if !walk.finish().is_whole() {
            return None;
        }
        let mut file = File::open(&path).unwrap();
        let mut segment = Checked { file: &mut file, name, header: copy.header };
        let (archive, data) = (self.dir.path().join("archive"), self.dir.path().join("data"));
        let earlier = Earlier { archive: &archive, data_directory: &data };
        Some(earlier.check(&mut segment, links_to))
    }

    fn damaged(&self, number: usize) -> String {
        match self.restore(number) {
            Some(Crossing::Damaged { why, .. }) => why,
            other => panic!("segment {number}: {other:?}"),
        }
    }

    fn unchecked(&self, number: usize) -> String {
        match self.restore(number) {
            Some(Crossing::Unchecked(why)) => why,
            other => panic!("segment {number}: {other:?}"),
        }
    }

    fn assert_sound(&self, number: usize) {
        assert_eq!(self.restore(number), Some(Crossing::Sound), "segment {number}");
    }
}

/// A log of records of these lengths, repeated.
fn log_of(major: PgMajor, segments: usize, lengths: &[usize]) -> Forge {
    let mut forge = Forge::of_segments(major, 8, segments);
    for &length in lengths.iter().cycle() {
        if forge.is_full() {
            return forge;
        }
        forge.record(10, 0, length);
    }
    forge
}

/// Five segments: a message of 3 MB begins in segment 0 and ends in segment 3.
fn message(major: PgMajor) -> Vec<(SegmentName, Vec<u8>)> {
    let mut forge = Forge::of_segments(major, 8, 5);
    forge.record(10, 0, 600_000);
    forge.record(10, 0, 3_000_000);
    while !forge.is_full() {
        forge.record(10, 0, 70_000);
    }
    forge.segments()
}

/// One major of each format of records.
const MAJORS: [PgMajor; 4] =
    [PgMajor::of(8, 2), PgMajor::of(9, 2), PgMajor::of(9, 3), PgMajor::of(18, 0)];

fn each(check: impl Fn(PgMajor)) {
    MAJORS.into_iter().for_each(check);
}

/// A version that does not keep restored segments, and one that does.
fn old_and_new(check: impl Fn(PgMajor)) {
    [MAJORS[0], MAJORS[3]].into_iter().for_each(check);
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        6 => 6..9000_usize, 2 => 9000..400_000_usize, 3 => 400_000..2_500_000_usize,
    ];
    prop::collection::vec(length, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn sound_wal_is_never_refused(major in prop::sample::select(MAJORS.to_vec()), lengths in lengths()) {
        let standby = Standby::with(log_of(major, 6, &lengths).segments());
        for number in 1..6 {
            let found = standby.restore(number);
            prop_assert!(matches!(found, Some(Crossing::Sound | Crossing::Within)), "{:?}", found);
        }
    }

    #[test]
    fn a_flipped_byte_is_found_at_the_latest_where_its_record_ends(
        major in prop::sample::select(MAJORS.to_vec()), lengths in lengths(), position in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let mut forge = log_of(major, 6, &lengths);
        let covered: Vec<usize> = (0..6 * MIB).filter(|&at| forge.covered[at]).collect();
        prop_assume!(!covered.is_empty());
        let at = *position.get(&covered);
        forge.bytes[at] ^= flip;
        let standby = Standby::with(forge.segments());
        let refused = (0..6).any(|number| {
            let found = standby.restore(number);
            !matches!(found, Some(Crossing::Sound | Crossing::Within))
        });
        prop_assert!(refused, "a flip at {:#X}", at);
    }
}

#[test]
fn a_message_over_four_segments() {
    each(|major| {
        let log = message(major);
        let standby = Standby::with(log.clone());
        assert_eq!(standby.restore(1), Some(Crossing::Within));
        assert_eq!(standby.restore(2), Some(Crossing::Within));
        standby.assert_sound(3);
        standby.assert_sound(4);
        for number in [0, 1, 2] {
            let standby = Standby::with(log.clone());
            let mut bytes = standby.log[number].1.clone();
            bytes[MIB - 5000] ^= 1;
            standby.put("archive", standby.name(number), &bytes);
            assert_eq!(standby.restore(2), Some(Crossing::Within));
            let said = standby.damaged(3);
            assert!(said.contains("checksum in record at"), "{said}");
            let [first, second, third] = [0, 1, 2].map(|n| standby.name(n).to_string());
            assert!(said.contains(&first) && said.contains(" through "), "{said}");
            assert!(said.contains(&second) && said.contains(&third), "{said}");
            assert!(said.contains("not known which"), "{said}");
        }
    });
}

/// Segment 1 holds the end of one record and the beginning of the next, and no record whole.
#[test]
fn a_tail_and_a_head() {
    each(|major| {
        let log = log_of(major, 4, &[1_500_000, 1_300_000]).segments();
        let standby = Standby::with(log.clone());
        standby.assert_sound(1);
        standby.assert_sound(2);
        for (number, at) in [(0, MIB - 5000), (1, 5000)] {
            let standby = Standby::with(log.clone());
            let mut bytes = log[number].1.clone();
            bytes[at] ^= 1;
            standby.put("archive", standby.name(number), &bytes);
            assert!(standby.damaged(1).contains("as it crosses from"), "{major}");
        }
    });
}

/// A segment from the middle of a record of another length is sound by itself.
#[test]
fn a_segment_within_a_record_must_continue_it() {
    each(|major| {
        let log = message(major);
        let mut other = Forge::of_segments(major, 8, 5);
        other.record(10, 0, 600_000);
        other.record(10, 0, 3_000_100);
        other.record(10, 0, 900_000);
        let standby = Standby::with(log.clone());
        standby.put("archive", standby.name(2), &other.segments()[2].1);
        assert!(standby.damaged(2).contains("invalid contrecord length"), "{major}");
    });
}

#[test]
fn a_missing_segment_is_named_and_may_arrive_later() {
    old_and_new(|major| {
        let log = message(major);
        for (missing, restored) in [(0, 3), (1, 2), (1, 3), (2, 3), (3, 4)] {
            let standby = Standby::with(log.clone());
            standby.remove(missing);
            let said = standby.unchecked(restored);
            let name = standby.name(missing).to_string();
            assert!(said.contains(&format!("without {name}: it is neither in")), "{said}");
            standby.put("archive", standby.name(missing), &standby.log[missing].1);
            assert_ne!(standby.restore(restored), Some(Crossing::Unchecked(said)));
        }
        // Another file with that name is treated as missing, and reported.
        let standby = Standby::with(log.clone());
        standby.put("archive", standby.name(1), &standby.log[0].1);
        assert!(standby.unchecked(3).contains("recycled segment or has the wrong name"), "{major}");
        standby.put("archive", standby.name(1), b"");
        assert!(standby.unchecked(3).contains("too few"), "{major}");
    });
}

/// A segment into which no record crosses needs none before it.
#[test]
fn after_a_switch_nothing_is_missing() {
    each(|major| {
        let mut forge = Forge::of_segments(major, 8, 2);
        forge.record(10, 0, 5000);
        forge.record(0, 0x40, 0);
        forge.at = MIB;
        while !forge.is_full() {
            forge.record(10, 0, 700);
        }
        let standby = Standby::with(forge.segments());
        standby.assert_sound(1);
        standby.remove(0);
        standby.assert_sound(1);
    });
}

/// The archive was pruned, or never held all segments: the server's own copies are used.
#[test]
fn copies_in_the_servers_wal_directory_are_used() {
    old_and_new(|major| {
        let log = message(major);
        let standby = Standby::with(log.clone());
        (0..3).for_each(|number| standby.moved(number, "archive", "data/pg_wal"));
        assert_eq!(standby.restore(2 + 1), Some(Crossing::Sound));
        standby.damage("data/pg_wal", 1);
        assert!(standby.damaged(3).contains("pg_wal"), "{major}");
    });
}

#[test]
fn a_copy_that_the_server_has_replayed_decides() {
    old_and_new(|major| {
        let log = message(major);
        let keeps = major.keeps_restored_segments();
        let (replayed, other) =
            if keeps { ("data/pg_wal", "archive") } else { ("archive", "data/pg_wal") };
        let standby = Standby::with(log.clone());
        standby.put(other, standby.name(1), &standby.log[1].1);
        standby.damage(replayed, 1);
        let said = standby.damaged(3);
        let [damaged, sound] =
            [replayed, other].map(|directory| standby.path(directory, standby.name(1)));
        let names = format!("{damaged:?} is damaged, {sound:?} is intact");
        assert!(said.contains(&names) && said.contains("start the server again"), "{said}");
        // Damage in the other copy does not matter.
        standby.damage(other, 1);
        standby.put(replayed, standby.name(1), &standby.log[1].1);
        standby.assert_sound(3);
    });
}

/// A segment that a server was still writing, from a base backup, or a recycled one: no server replays past
/// its end, so this one has replayed another copy.
#[test]
fn an_incomplete_copy_in_the_servers_directory_is_not_the_replayed_one() {
    old_and_new(|major| {
        let log = message(major);
        for (number, from) in [(0, MIB - 3 * 8192), (1, MIB / 2), (2, 8192)] {
            let standby = Standby::with(log.clone());
            let mut bytes = standby.log[number].1.clone();
            bytes[from..].fill(0);
            standby.put("data/pg_wal", standby.name(number), &bytes);
            standby.assert_sound(3);
            standby.put("data/pg_wal", standby.name(number), &standby.log[4].1);
            standby.assert_sound(3);
        }
    });
}
