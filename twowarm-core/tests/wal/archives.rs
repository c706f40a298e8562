//! Archives that real servers of 8.2 to 19 wrote, sound and damaged.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;
use twowarm_core::verify::{FindingKind, Verdict, VerifyArchive};
use twowarm_core::wal::{ControlFile, Expected};

use crate::samples::{self, Sample};

/// The archive of a sample. Some of its segments are not among the files of this repository.
fn unpacked(sample: &Sample) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let texts = [".history", ".backup"].into_iter().flat_map(|suffix| sample.ending_in(suffix));
    for (name, content) in texts {
        fs::write(dir.path().join(name), content).unwrap();
    }
    for name in sample.segments("wal") {
        fs::write(dir.path().join(&name), sample.segment("wal", &name)).unwrap();
    }
    dir
}

fn verify(archive: &Path, cluster: Expected) -> Verdict {
    let mut verify = VerifyArchive::new(archive);
    verify.cluster = cluster;
    verify.run(&mut |_| ()).unwrap()
}

#[test]
fn every_archive_of_a_real_server_is_sound_except_for_segments_that_are_not_here() {
    for sample in samples::all() {
        let dir = unpacked(&sample);
        let verdict = verify(dir.path(), Expected::default());
        let others: Vec<_> =
            verdict.findings.iter().filter(|found| found.kind != FindingKind::Gap).collect();
        assert!(others.is_empty(), "{}: {others:?}", sample.name);
        for gap in &verdict.findings {
            assert!(!dir.path().join(&gap.file).exists(), "{}: {gap:?}", sample.name);
        }
        assert_eq!(verdict.stretches.is_empty(), !verdict.findings.is_empty(), "{}", sample.name);
    }
}

/// Positions of the switch records, as in `ends.txt`.
#[test]
fn a_certificate_says_from_where_to_where_wal_replays() {
    let verdict = verify(unpacked(&samples::one("15")).path(), Expected::default());
    let &[stretch] = verdict.stretches.as_slice() else { panic!("{:?}", verdict.findings) };
    assert_eq!(stretch.first.to_string(), "00000001000000000000000A");
    assert_eq!(stretch.last.to_string(), "000000010000000000000011");
    assert_eq!(stretch.segments, 8);
    let ends = include_str!("ends.txt");
    let last = format!("15 {} switched at {}\n", stretch.last, stretch.to);
    assert!(ends.contains(&last), "{last}");
}

/// Changes single bytes of the first `used` ones of a segment.
fn changed_bytes_are_found(version: &str, file: &str, used: usize, step: usize) {
    let sample = samples::one(version);
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in sample.ending_in(".history") {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let path = dir.path().join(file);
    fs::write(&path, sample.segment("wal", file)).unwrap();
    let control = ControlFile::parse(&sample.read("pg_control")).unwrap();
    let verify = || verify(dir.path(), Expected::of(&control));
    let sound = verify();
    assert!(sound.is_sound(), "{:?}", sound.findings);
    let segment = File::options().read(true).write(true).open(&path).unwrap();
    for at in (0..used).step_by(step) {
        let mut byte = [0];
        segment.read_exact_at(&mut byte, at as u64).unwrap();
        segment.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
        assert!(!verify().is_sound(), "{version} {file} {at:#x}");
        segment.write_all_at(&byte, at as u64).unwrap();
    }
}

#[test]
fn every_changed_byte_of_8_3_is_found() {
    changed_bytes_are_found("8.3", "000000010000000000000003", 0x88, 1);
}

#[test]
fn changed_bytes_of_9_5_and_later_are_found() {
    changed_bytes_are_found("9.5", "000000030000000000000009", 0xE8, 1);
    changed_bytes_are_found("9.5", "000000030000000000000008", 0x1_74A8, 1499);
    changed_bytes_are_found("10", "000000030000000000000008", 0x1_23D8, 1499);
    changed_bytes_are_found("18", "000000030000000000000009", 0x110, 1);
    changed_bytes_are_found("18-1MB", "00000003000000000000001C", 0x1_7980, 499);
    changed_bytes_are_found("19", "00000003000000000000000A", 0x6_FB48, 9973);
}
