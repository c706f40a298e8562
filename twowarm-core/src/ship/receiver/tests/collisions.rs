//! Incoming files whose name is taken.

use std::fs;
use std::path::Path;

use super::*;
use crate::version::{PgMajor, RecordFormat};
use crate::wal::records::tests::forge::Forge;
use crate::wal::{ControlFile, SegmentName};

const HISTORY: &str = "00000002.history";
const GOOD_HISTORY: &[u8] = b"1\t0/3000158\tno recovery target specified\n";
const BACKUP: &str = "000000010000000000000002.00000028.backup";
const GOOD_BACKUP: &[u8] = b"START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n\
    STOP WAL LOCATION: 0/200100 (file 000000010000000000000002)\n\
    CHECKPOINT LOCATION: 0/200060\n";

impl Bed {
    fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.far.archive.join(name), content).unwrap();
    }

    fn holds(&self, name: &str) -> Vec<u8> {
        fs::read(self.far.archive.join(name)).unwrap()
    }

    /// The far node has the data directory of a standby, with the pg_control of a sample.
    pub(super) fn give_pg_control(&self, sample: &Path) {
        let global = self.far.data_directory.join("global");
        fs::create_dir_all(&global).unwrap();
        fs::copy(sample, global.join("pg_control")).unwrap();
        fs::write(self.far.data_directory.join("standby.signal"), "").unwrap();
    }
}

fn of_major(major: &str) -> Hello {
    Hello { major: major.parse().unwrap(), ..hello() }
}

/// An empty history was stored, restoreWALFile waited for a valid one, and the right one was refused.
#[test]
fn a_history_without_ancestors_is_refused() {
    let bed = Bed::new();
    for bad in [b"".as_slice(), b"# nothing\n", &[0; 42]] {
        assert_eq!(refused(bed.send(hello(), HISTORY, bad)).code, RefusalCode::UNSOUND);
    }
    assert_eq!(bed.stored(), [""; 0]);
    bed.send(hello(), HISTORY, GOOD_HISTORY).unwrap();
}

/// An empty file, which its server had not fsynced before a crash, stopped all archiving.
#[test]
fn a_bad_backup_file_passes_from_9_0_on() {
    for (major, passes) in [("8.4", false), ("9.0", true), ("15", true)] {
        let bed = Bed::new();
        for bad in [b"".as_slice(), b"nonsense"] {
            if passes {
                bed.send(of_major(major), BACKUP, bad).unwrap();
            } else {
                let refusal = refused(bed.send(of_major(major), BACKUP, bad));
                assert_eq!(refusal.code, RefusalCode::UNSOUND, "{major}");
            }
        }
        assert_eq!(bed.send(of_major(major), BACKUP, GOOD_BACKUP).unwrap(), Stored::New);
        assert_eq!(bed.holds(BACKUP), GOOD_BACKUP);
        if passes {
            assert_eq!(bed.holds(&format!("{BACKUP}.foreign")), b"", "the first one is kept");
            // An empty file that was archived before is accepted as already there.
            assert_eq!(bed.send(of_major(major), BACKUP, b"").unwrap(), Stored::AlreadyThere);
            assert_eq!(bed.holds(BACKUP), GOOD_BACKUP);
        }
    }
}

#[test]
fn a_file_with_the_content_of_another_is_set_aside() {
    let bed = Bed::new();
    let own = segment(2, CLUSTER);
    let mut cases: Vec<(&str, &[u8], Vec<u8>)> = vec![
        (HISTORY, GOOD_HISTORY, Vec::new()),
        (HISTORY, GOOD_HISTORY, b"nonsense\n".to_vec()),
        (BACKUP, GOOD_BACKUP, b"nonsense".to_vec()),
    ];
    let damaged = [&[0; 8192], &own[8192..]].concat();
    let (zeros, longer) = (vec![0; own.len()], [&own[..], &[0]].concat());
    for other in [segment(3, CLUSTER), segment(2, 42), own[..5000].to_vec(), Vec::new()] {
        cases.push((TWO, &own, other));
    }
    cases.extend([damaged, zeros, longer].map(|other| (TWO, own.as_slice(), other)));
    for (name, good, foreign) in cases {
        bed.put(name, &foreign);
        bed.put(&format!("{name}.foreign"), b"an earlier one");
        assert_eq!(bed.send(hello(), name, good).unwrap(), Stored::New, "{name}");
        assert_eq!(bed.holds(name), good);
        assert_eq!(bed.holds(&format!("{name}.foreign")), b"an earlier one");
        assert_eq!(bed.holds(&format!("{name}.foreign.2")), foreign);
        for leftover in [name.to_owned(), format!("{name}.foreign.2")] {
            fs::remove_file(bed.far.archive.join(leftover)).unwrap();
        }
        assert_eq!(bed.leftovers(), 0);
    }
}

/// 2warm's flushPrimary copied all of pg_xlog, including files that the server had recycled: their names are
/// those of later segments, their content is an earlier segment's. The later segments were always refused.
#[test]
fn a_recycled_file_is_set_aside_for_the_segment_of_its_name() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut tried = 0;
    for sample in fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(recycled) = fs::read_dir(sample.join("recycled")) else { continue };
        let control = ControlFile::parse(&fs::read(sample.join("pg_control")).unwrap()).unwrap();
        let hello = Hello {
            system_identifier: control.system_identifier,
            segment_size: control.segment_size,
            major: control.major.unwrap(),
            ..hello()
        };
        for file in recycled.map(|entry| entry.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let page = zstd::decode_all(&fs::read(&file).unwrap()[..]).unwrap();
            let mut old = page.clone();
            old.resize(control.segment_size.bytes() as usize, 0);
            let place = name.parse::<SegmentName>().unwrap().place;
            let start = control.layout().start(place).unwrap();
            let mut right = old.clone();
            let (high, low) = ((start.0 >> 32) as u32, start.0 as u32);
            let halves = hello.major.record_format() == RecordFormat::Halves;
            let halves = if halves { [high, low] } else { [low, high] };
            right[8..12].copy_from_slice(&halves[0].to_le_bytes());
            right[12..16].copy_from_slice(&halves[1].to_le_bytes());

            let bed = Bed::new();
            let refusal = refused(bed.send(hello.clone(), &name, &old));
            assert_eq!(refusal.code, RefusalCode::UNSOUND, "{}", file.display());
            bed.put(&name, &old);
            assert_eq!(bed.send(hello.clone(), &name, &right).unwrap(), Stored::New);
            assert!(bed.holds(&name) == right && bed.holds(&format!("{name}.foreign")) == old);
            assert_eq!(bed.stored(), [name.as_str()]);
            assert_eq!(bed.send(hello.clone(), &name, &right).unwrap(), Stored::AlreadyThere);
            tried += 1;
        }
    }
    assert!(tried >= 14, "{tried}");
}

/// 2warm's flushPrimary copied the segment that the primary was writing. The complete segment was always
/// refused.
#[test]
fn an_incomplete_copy_of_a_segment_is_set_aside_for_the_complete_one() {
    for major in ["8.2", "9.4", "15", "19"].map(|text| text.parse::<PgMajor>().unwrap()) {
        let fill = |forge: &mut Forge| (0..100).for_each(|_| forge.record(10, 0, 700));
        let mut forge = Forge::new(major, 8);
        fill(&mut forge);
        let beginning = forge.bytes.clone();
        fill(&mut forge);
        forge.record(0, 0x40, 0);
        let whole = forge.bytes.clone();
        let mut other = Forge::new(major, 8);
        other.record(10, 0, 50);
        let name = forge.name.to_string();
        let hello = Hello { system_identifier: 0x1234_5678_9ABC_DEF0, major, ..hello() };

        let bed = Bed::new();
        bed.put(&name, &beginning);
        assert_eq!(bed.send(hello.clone(), &name, &whole).unwrap(), Stored::New, "{major}");
        assert!(bed.holds(&name) == whole && bed.holds(&format!("{name}.foreign")) == beginning);
        // Not the other way round, nor for a segment with another beginning.
        let conflict = |stored: &[u8], content: &[u8]| {
            bed.put(&name, stored);
            let refusal = refused(bed.send(hello.clone(), &name, content));
            assert_eq!(refusal.code, RefusalCode::CONFLICT, "{major}");
            assert!(bed.holds(&name) == stored, "{major}");
        };
        conflict(&whole, &beginning);
        conflict(&other.bytes, &whole);
        // If a timeline forks in it, it may be incomplete for good.
        let fork = forge.base.0 + SIZE / 2;
        let history = format!("7\t{:X}/{:X}\tx\n", fork >> 32, fork as u32);
        let history = match major.skips_last_segment() {
            true => format!("7\t{name}\tx\n"),
            false => history,
        };
        bed.put("00000008.history", history.as_bytes());
        conflict(&beginning, &whole);
    }
}

/// A dangling link is neither absent nor a file to set aside.
#[test]
fn a_dangling_link_is_kept() {
    let bed = Bed::new();
    bed.send(hello(), HISTORY, GOOD_HISTORY).unwrap();
    let place = bed.far.archive.join(TWO);
    std::os::unix::fs::symlink("nowhere", &place).unwrap();
    let refusal = refused(bed.send(hello(), TWO, &segment(2, CLUSTER)));
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::ARCHIVE, true));
    assert!(place.is_symlink());
}

#[test]
fn concurrent_senders_set_a_file_aside_once() {
    let bed = Bed::new();
    let path = bed.file(&segment(2, CLUSTER));
    for round in 0..10 {
        bed.put(TWO, &segment(2, 42));
        assert_eq!(bed.send_concurrently(3, &path), 1, "round {round}");
        assert_eq!(bed.holds(TWO), segment(2, CLUSTER));
        assert_eq!(bed.holds(&format!("{TWO}.foreign")), segment(2, 42));
        assert!(!bed.far.archive.join(format!("{TWO}.foreign.2")).exists());
        fs::remove_file(bed.far.archive.join(TWO)).unwrap();
        fs::remove_file(bed.far.archive.join(format!("{TWO}.foreign"))).unwrap();
    }
}

/// A server's segment that ends with a switch, its name, and its cluster's pg_control.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
    hello: Hello,
    control: PathBuf,
}

fn sample() -> Sample {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
    let name = "00000001000000000000001A";
    let packed = fs::read(folder.join("wal").join(format!("{name}.zst"))).unwrap();
    let control = folder.join("pg_control");
    let cluster = ControlFile::parse(&fs::read(&control).unwrap()).unwrap();
    assert_eq!(cluster.segment_size.bytes(), SIZE);
    let hello = Hello { system_identifier: cluster.system_identifier, ..of_major("18") };
    Sample { name, bytes: zstd::decode_all(&packed[..]).unwrap(), hello, control }
}

/// After a crash the rest of a recycled file after the switch record differed: the archive refused the segment,
/// and the primary's pg_wal filled up.
#[test]
fn a_segment_that_differs_only_after_its_end_is_the_same() {
    let (bed, sample) = (Bed::new(), sample());
    let send = |bytes: &[u8]| bed.send(sample.hello.clone(), sample.name, bytes);
    send(&sample.bytes).unwrap();
    let mut other = sample.bytes.clone();
    other[SIZE as usize / 2..].fill(0xAA);
    assert_eq!(send(&other).unwrap(), Stored::AlreadyThere);
    other[100] ^= 1;
    assert_eq!(refused(send(&other)).code, RefusalCode::CONFLICT);
    assert_eq!(bed.holds(sample.name), sample.bytes);
    assert_eq!(bed.stored(), [sample.name]);
}

#[test]
fn the_advice_for_a_conflict_depends_on_what_was_replayed() {
    let (bed, sample) = (Bed::new(), sample());
    bed.send(sample.hello.clone(), sample.name, &sample.bytes).unwrap();
    let mut other = sample.bytes.clone();
    other[100] ^= 1;
    let advice = |name: &str, content: &[u8]| {
        let refusal = refused(bed.send(sample.hello.clone(), name, content));
        assert_eq!((refusal.code, refusal.retryable), (RefusalCode::CONFLICT, false));
        let place = bed.far.archive.join(name).display().to_string();
        assert!(refusal.message.contains(&place), "{}", refusal.message);
        refusal.message
    };
    let said = advice(sample.name, &other);
    assert!(said.contains("which of the two is right"), "{said}");
    bed.give_pg_control(&sample.control);
    let said = advice(sample.name, &other);
    assert!(said.contains("has replayed") && said.contains("new base copy"), "{said}");

    let ahead = "0000000100000000000000FF";
    let mut bytes = segment(0xFF, sample.hello.system_identifier);
    bytes[..2].copy_from_slice(&0xD118_u16.to_le_bytes());
    bed.send(sample.hello.clone(), ahead, &bytes).unwrap();
    bytes[100] = 1;
    let said = advice(ahead, &bytes);
    assert!(said.contains("has not replayed") && said.contains("remove"), "{said}");

    // An old primary cannot follow.
    let signal = bed.far.data_directory.join("standby.signal");
    fs::remove_file(&signal).unwrap();
    let refusal = refused(bed.send(sample.hello.clone(), HISTORY, GOOD_HISTORY));
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::NOT_A_STANDBY, true));
    fs::write(signal, "").unwrap();
    bed.send(sample.hello.clone(), HISTORY, GOOD_HISTORY).unwrap();
    advice(HISTORY, b"1\t0/4000158\tx\n");
}
