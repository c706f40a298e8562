//! Every answer from 8.2 to 19, by the versions in which it changes.

use super::*;

/// Checks each answer and the version since which it is given.
pub(crate) fn changes<T: PartialEq + PartialEq<E> + fmt::Debug, E>(
    question: impl Fn(PgMajor) -> T,
    expected: &[(&str, E)],
) {
    let mut answers: Vec<(String, T)> = Vec::new();
    for major in PgMajor::ALL {
        let answer = question(major);
        if answers.last().is_none_or(|(_, last)| *last != answer) {
            answers.push((major.to_string(), answer));
        }
    }
    let is_same = |((found, answer), (since, wanted)): (&(String, T), &(&str, E))| {
        found == since && answer == wanted
    };
    let same = answers.iter().zip(expected).all(is_same);
    assert!(same && answers.len() == expected.len(), "{answers:?}");
}

/// True from this version on.
pub(crate) fn since(question: impl Fn(PgMajor) -> bool, major: &str) {
    changes(question, &[("8.2", false), (major, true)]);
}

#[test]
fn features_of_each_version() {
    changes(PgMajor::skips_last_segment, &[("8.2", true), ("9.3", false)]);
    changes(PgMajor::wal_directory, &[("8.2", "pg_xlog"), ("10", "pg_wal")]);
    since(PgMajor::has_recovery_signal, "12");
    since(PgMajor::has_standby_mode_promotion, "9.1");
    since(PgMajor::keeps_promote_file, "9.3");
    since(PgMajor::asks_twice, "15");
    since(PgMajor::keeps_restored_segments, "9.2");
    since(PgMajor::has_shutdown_in_recovery, "9.0");
    since(PgMajor::has_backup_end_in_wal, "9.0");
    since(PgMajor::names_unfinished_segments, "9.5");
}

#[test]
fn wal_format_of_each_version() {
    use RecordFormat::*;
    changes(PgMajor::record_format, &[("8.2", Halves), ("9.3", Wide), ("9.5", Blocks)]);
    changes(PgMajor::backup_blocks, &[("8.2", Some(3)), ("9.2", Some(4)), ("9.5", None)]);
    changes(PgMajor::image_compression_flags, &[("8.2", 0x02), ("15", 0x1C)]);
    changes(PgMajor::overwrite_flag, &[("8.2", 0x0008), ("19", 0x0004)]);
    changes(PgMajor::page_flags, &[("8.2", 0x000F), ("19", 0x0007)]);
    let last = |major: PgMajor| (0..128).filter(|&id| major.has_resource_manager(id)).max();
    let lasts = [("8.2", Some(15)), ("9.2", Some(16)), ("9.5", Some(19)), ("9.6", Some(21))];
    changes(last, &lasts);
    since(|major| major.has_resource_manager(128), "15");
}

/// 19.0 is expected to have beta4's number.
#[test]
fn magic_numbers() {
    let of = |magic| PgMajor::from_wal_magic(magic).map(|major| major.to_string());
    for (magic, major) in [
        (0xD05E, "8.2"),
        (0xD062, "8.3"),
        (0xD063, "8.4"),
        (0xD064, "9.0"),
        (0xD066, "9.1"),
        (0xD071, "9.2"),
        (0xD075, "9.3"),
        (0xD07E, "9.4"),
        (0xD087, "9.5"),
        (0xD093, "9.6"),
        (0xD118, "18"),
        (0xD120, "19"),
        (0xD121, "19"),
        (0xD122, "19"),
    ] {
        assert_eq!(of(magic).as_deref(), Some(major), "{magic:04X}");
        assert!(!PgMajor::is_newer_wal_magic(magic));
    }
    for (magic, newer) in
        [(0xD11F, false), (0xD123, true), (0xD2FF, true), (0xD300, false), (0, false)]
    {
        assert_eq!(of(magic), None, "{magic:04X}");
        assert_eq!(PgMajor::is_newer_wal_magic(magic), newer, "{magic:04X}");
    }
}

#[test]
fn a_newer_version_answers_as_the_newest_known_one() {
    let newer: PgMajor = "20".parse().unwrap();
    assert!(!newer.is_known() && PgMajor::NEWEST.is_known() && newer > PgMajor::NEWEST);
    assert_eq!(newer.wal_magic(), None);
    assert_eq!(newer.record_format(), PgMajor::NEWEST.record_format());
    assert_eq!(newer.wal_directory(), "pg_wal");
}
