use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::version::PgMajor;
use crate::wal::records::tests::forge::Forge;

const MIB: usize = 1024 * 1024;
const SYSTEM: u64 = 0x1234_5678_9ABC_DEF0;

/// An archive of consecutive segments of timeline 5, with records of all lengths.
struct Scratch {
    dir: TempDir,
    names: Vec<SegmentName>,
    forge: Forge,
}

impl Scratch {
    fn new(major: PgMajor, segments: usize) -> Scratch {
        let mut forge = Forge::of_segments(major, 8, segments);
        let lengths = [30, 7, 2700, 200, 9000, 77, 300_000, 1200, 65];
        for &length in lengths.iter().cycle() {
            if forge.is_full() {
                break;
            }
            forge.record(10, 0, length);
        }
        let dir = tempfile::tempdir().unwrap();
        let five = TimelineId::new(5).unwrap();
        let mut names = Vec::new();
        for (name, bytes) in forge.segments() {
            let name = SegmentName { timeline: five, ..name };
            fs::write(dir.path().join(name.to_string()), bytes).unwrap();
            names.push(name);
        }
        Scratch { dir, names, forge }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn segment(&self, number: usize) -> (PathBuf, String) {
        let name = self.names[number].to_string();
        (self.path(&name), name)
    }

    fn put(&self, file: &str, content: &str) {
        fs::write(self.path(file), content).unwrap();
    }

    fn verify(&self) -> Verdict {
        let mut verify = VerifyArchive::new(self.dir.path());
        verify.cluster.system_identifier = Some(SYSTEM);
        verify.run(&mut |_| ()).unwrap()
    }

    /// Kind and file of all findings.
    fn found(&self) -> Vec<(FindingKind, String)> {
        self.verify().findings.into_iter().map(|found| (found.kind, found.file)).collect()
    }

    fn finds(&self, kind: FindingKind, file: &str) {
        assert_eq!(self.found(), [(kind, file.to_owned())], "{:?}", self.verify().findings);
    }
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x41], at as u64).unwrap();
}

fn eighteen(segments: usize) -> Scratch {
    Scratch::new(PgMajor::of(18, 0), segments)
}

#[test]
fn a_sound_archive_replays_from_its_first_record_to_its_last() {
    for major in [PgMajor::of(8, 3), PgMajor::of(9, 3), PgMajor::of(9, 5), PgMajor::of(18, 0)] {
        let scratch = Scratch::new(major, 4);
        for own in [
            ".archive",
            ".owner.5-0.tmp",
            ".owner.lock",
            ".receipt",
            ".receipt.5-0.tmp",
            ".nfs0001",
        ] {
            scratch.put(own, "x");
        }
        fs::create_dir(scratch.path(".incoming")).unwrap();
        let verdict = scratch.verify();
        assert!(verdict.is_sound(), "{major}: {:?}", verdict.findings);
        let &[stretch] = verdict.stretches.as_slice() else { panic!("{:?}", verdict.stretches) };
        assert_eq!((stretch.from, stretch.segments), (scratch.forge.base, 4));
        let last = *scratch.forge.starts.last().unwrap() as u64;
        assert_eq!(stretch.to, Lsn(scratch.forge.base.0 + last), "the last record is incomplete");
        assert_eq!((verdict.segments, verdict.bytes), (4, 4 * MIB as u64));
        fs::remove_file(scratch.segment(0).0).unwrap();
        let later = scratch.verify();
        assert!(later.is_sound(), "{major}: {:?}", later.findings);
        let first = scratch.forge.starts.iter().find(|&&start| start >= MIB).unwrap();
        assert_eq!(later.stretches[0].from, Lsn(scratch.forge.base.0 + *first as u64));
    }
}

#[test]
fn an_archive_without_segments_is_not_certified() {
    let scratch = eighteen(1);
    fs::remove_file(scratch.segment(0).0).unwrap();
    scratch.finds(FindingKind::Empty, ".");
}

#[test]
fn a_missing_segment_is_one_gap() {
    let scratch = eighteen(6);
    fs::remove_file(scratch.segment(2).0).unwrap();
    scratch.finds(FindingKind::Gap, &scratch.segment(2).1);
    fs::remove_file(scratch.segment(3).0).unwrap();
    scratch.finds(FindingKind::Gap, &scratch.segment(2).1);
    assert!(scratch.verify().findings[0].detail.contains("and the next segment are missing"));
    // The server would start after it, or in it.
    let mut verify = VerifyArchive::new(scratch.dir.path());
    for (start, is_explained) in [(4, true), (5, true), (3, false), (2, false)] {
        verify.needed_from = scratch.segment(start).1.parse().ok();
        let verdict = verify.run(&mut |_| ()).unwrap();
        let detail = &verdict.findings[0].detail;
        assert_eq!(detail.contains("does not need it"), is_explained, "{start}: {detail}");
    }
}

#[test]
fn a_file_that_is_not_its_segment_is_one_finding() {
    let scratch = eighteen(5);
    let ((path, name), (other, _)) = (scratch.segment(2), scratch.segment(3));
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..MIB - 8192]).unwrap();
    scratch.finds(FindingKind::WrongSize, &name);
    fs::write(&path, [&content[..], &[0]].concat()).unwrap();
    scratch.finds(FindingKind::WrongSize, &name);
    fs::write(&path, "").unwrap();
    scratch.finds(FindingKind::NotTheSegment, &name);
    fs::copy(other, &path).unwrap();
    scratch.finds(FindingKind::NotTheSegment, &name);
    fs::write(&path, &content).unwrap();
    // The system identifier.
    flip(&path, 24);
    scratch.finds(FindingKind::OtherCluster, &name);
    let mut verify = VerifyArchive::new(scratch.dir.path());
    let other = |verdict: Verdict| {
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        assert_eq!(verdict.findings[0].kind, FindingKind::OtherCluster);
    };
    other(verify.run(&mut |_| ()).unwrap());
    verify.threads = 1;
    other(verify.run(&mut |_| ()).unwrap());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    scratch.finds(FindingKind::Stray, &name);
}

#[test]
fn damage_is_found_where_it_is() {
    let scratch = eighteen(5);
    let (path, name) = scratch.segment(2);
    let content = fs::read(&path).unwrap();
    // In a record, in a page header.
    for at in [MIB / 2 + 100, 8192 * 100] {
        flip(&path, at);
        scratch.finds(FindingKind::Damaged, &name);
        fs::write(&path, &content).unwrap();
    }
    // The end was not written.
    fs::write(&path, [&content[..MIB / 2], &vec![0; MIB / 2]].concat()).unwrap();
    scratch.finds(FindingKind::Incomplete, &name);
    fs::write(&path, &content).unwrap();
    // The record that crosses into the segment, in its first part and in its second.
    let crossing = scratch.forge.starts.iter().rfind(|&&start| start < 2 * MIB).unwrap();
    flip(&scratch.segment(1).0, crossing - MIB + 30);
    scratch.finds(FindingKind::NotContinued, &name);
    flip(&scratch.segment(1).0, crossing - MIB + 30);
    flip(&path, 41);
    scratch.finds(FindingKind::NotContinued, &name);
    fs::write(&path, &content).unwrap();
    assert!(scratch.verify().is_sound());
}

#[test]
fn a_file_that_does_not_belong_is_a_stray() {
    let scratch = eighteen(2);
    let corrupt = format!("{}.corrupt", scratch.names[0]);
    for stray in [&corrupt, "core", "00000005.history.gz"] {
        scratch.put(stray, "x");
        scratch.finds(FindingKind::Stray, stray);
        fs::remove_file(scratch.path(stray)).unwrap();
    }
    scratch.put(".owner", "nonsense");
    scratch.finds(FindingKind::Unreadable, ".owner");
}

#[test]
fn text_files_match_their_names() {
    let scratch = eighteen(2);
    scratch.put("00000007.history", "nonsense");
    scratch.finds(FindingKind::BadHistory, "00000007.history");
    fs::remove_file(scratch.path("00000007.history")).unwrap();
    let backup = format!("{}.00000028.backup", scratch.names[0]);
    scratch.put(&backup, "");
    scratch.finds(FindingKind::BadBackupFile, &backup);
}

#[test]
fn histories_agree_and_are_complete() {
    let scratch = eighteen(3);
    let start = scratch.forge.base.0;
    let at = |offset: usize| Lsn(start + offset as u64);
    let inner = scratch.forge.starts.iter().find(|&&start| start > MIB + 8192 * 3).unwrap();
    let fork = at(*inner);
    // Forks from before the archive, whose histories are not needed.
    let five = format!("1\t0/10\tx\n4\t{}\tx\n", at(0));
    scratch.put("00000005.history", &five);
    let seven = format!("{five}5\t{fork}\tx\n");
    scratch.put("00000007.history", &seven);
    assert_eq!(scratch.found(), []);
    scratch.put("00000005.history", &format!("1\t0/20\tx\n4\t{}\tx\n", at(0)));
    scratch.finds(FindingKind::HistoriesDisagree, "00000007.history");
    scratch.put("00000005.history", &five);
    scratch.put("00000009.history", &format!("{seven}8\t{fork}\tx\n"));
    scratch.finds(FindingKind::MissingHistory, "00000008.history");
    fs::remove_file(scratch.path("00000009.history")).unwrap();

    // The segment of the fork on timeline 7, as a promotion copies it.
    let seven_name = SegmentName { timeline: TimelineId::new(7).unwrap(), ..scratch.names[1] };
    fs::copy(scratch.segment(1).0, scratch.path(&seven_name.to_string())).unwrap();
    assert_eq!(scratch.found(), []);
    let wrong = format!("{five}5\t{}\tx\n", Lsn(fork.0 + 8));
    scratch.put("00000007.history", &wrong);
    scratch.finds(FindingKind::BadHistory, "00000007.history");
    fs::remove_file(scratch.path("00000007.history")).unwrap();
    scratch.finds(FindingKind::MissingHistory, "00000007.history");
    // Its timeline began after it.
    scratch.put("00000007.history", &format!("{five}5\t{}\tx\n", at(2 * MIB + 8192)));
    scratch.finds(FindingKind::OutsideHistory, &seven_name.to_string());
}

/// Each byte of the used part is checked. The flag that no server reads is not the only bit that changes here.
#[test]
fn a_changed_byte_anywhere_is_found() {
    for major in [PgMajor::of(8, 3), PgMajor::of(9, 5), PgMajor::of(18, 0)] {
        let scratch = Scratch::new(major, 2);
        let end = *scratch.forge.starts.last().unwrap();
        // Every byte around the boundary and at the start of a page, others by a stride.
        let bytes = (0..48).chain(8192 * 5..8192 * 5 + 32).chain(MIB - 40..MIB + 48);
        for offset in bytes.chain((0..end).step_by(7919)).filter(|&offset| offset < end) {
            let (path, name) = scratch.segment(offset / MIB);
            flip(&path, offset % MIB);
            assert_ne!(scratch.found(), [], "{major}: {name} {offset:#x}");
            flip(&path, offset % MIB);
        }
        assert_eq!(scratch.found(), []);
    }
}
