//! pg_control, backup labels and history files that real servers of 8.2 to 19 wrote.

use twowarm_core::Retryable;
use twowarm_core::version::PgMajor;
use twowarm_core::wal::{
    BackupHistory, BackupLabel, BadControlFile, ClusterState, ControlFile, Expected, ForkPoint,
    Lsn, SegmentInHistory, TimelineHistory, Unsound, WalFileName, check_segment_header,
};

use crate::samples;

#[test]
fn pg_control_says_what_pg_controldata_says() {
    for sample in samples::all() {
        let control = ControlFile::parse(&sample.read("pg_control")).unwrap();
        let text = String::from_utf8(sample.read("pg_controldata.txt")).unwrap();
        let compare = |title: &str, value: String, from: Option<&str>| {
            let line = text.lines().find_map(|line| line.strip_prefix(title)?.strip_prefix(':'));
            match (line, from) {
                (None, Some(_)) => {}
                (line, _) => {
                    assert_eq!(line.map(str::trim), Some(&value[..]), "{} {title}", sample.name)
                }
            }
        };
        // From 19 on WAL locations are padded with zeros.
        let padded = sample.name.starts_with("19");
        let lsn = |lsn: Lsn| match padded {
            true => format!("{:X}/{:08X}", lsn.0 >> 32, lsn.0 & 0xFFFF_FFFF),
            false => lsn.to_string(),
        };
        compare("pg_control version number", control.control_version.to_string(), None);
        compare("Catalog version number", control.catalog_version.to_string(), None);
        compare("Database system identifier", control.system_identifier.to_string(), None);
        compare("Database cluster state", control.state.to_string(), None);
        compare("Latest checkpoint location", lsn(control.checkpoint), None);
        compare("Latest checkpoint's REDO location", lsn(control.redo), None);
        compare("Latest checkpoint's TimeLineID", control.timeline.to_string(), None);
        compare(
            "Minimum recovery ending location",
            lsn(control.min_recovery_point.unwrap_or_default()),
            None,
        );
        compare(
            "Backup start location",
            lsn(control.backup_start.unwrap_or_default()),
            Some("9.0"),
        );
        compare("Database block size", control.block_size.to_string(), None);
        compare("WAL block size", control.wal_block_size.to_string(), None);
        compare("Bytes per WAL segment", control.segment_size.bytes().to_string(), None);
        let sums = control.data_checksum_version.to_string();
        compare("Data page checksum version", sums, Some("9.3"));
        let tli = control.min_recovery_timeline.map_or(0, |timeline| timeline.number());
        compare("Min recovery ending loc's timeline", tli.to_string(), Some("9.3"));

        let major = sample.name.split('-').next().unwrap().parse().unwrap();
        assert_eq!(control.major, Some(major));
        assert_eq!(
            control.layout().segments_per_log_id(),
            match major {
                _ if major.skips_last_segment() => 255,
                _ => (1 << 32) / control.segment_size.bytes(),
            }
        );
    }
}

#[test]
fn pg_control_after_a_shutdown() {
    for sample in samples::all() {
        let control = ControlFile::parse(&sample.read("pg_control.shutdown")).unwrap();
        assert_eq!(control.state, ClusterState::ShutDown, "{}", sample.name);
        assert_eq!(control.redo, control.checkpoint);
    }
}

#[test]
fn a_damaged_pg_control_is_a_retryable_error() {
    for sample in samples::all() {
        let whole = sample.read("pg_control");
        let intact = ControlFile::parse(&whole).unwrap();
        let checksum_end = (140..512).rev().find(|&at| whole[at] != 0).unwrap();
        for at in (0..8).chain(16..checksum_end) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x11;
            match ControlFile::parse(&bytes) {
                Err(error) => assert!(error.is_retryable(), "{} byte {at}: {error}", sample.name),
                // In 8.2 and 8.3 it ends in names, whose padding is not checked.
                Ok(control) => assert_eq!(control, intact, "{} byte {at}", sample.name),
            }
        }
        let mut foreign = whole.clone();
        foreign[8..12].reverse();
        let version = intact.control_version;
        assert_eq!(ControlFile::parse(&foreign), Err(BadControlFile::BigEndian(version)));
        assert_eq!(ControlFile::parse(&whole[..511]), Err(BadControlFile::TooShort(511)));
    }
}

#[test]
fn labels_and_backup_histories() {
    for sample in samples::all().iter().filter(|sample| sample.name != "15") {
        let layout = ControlFile::parse(&sample.read("pg_control")).unwrap().layout();
        let major: PgMajor = sample.name.split('-').next().unwrap().parse().unwrap();
        let label = BackupLabel::parse(&sample.read("backup_label")).unwrap();
        assert_eq!(label.as_bytes(), sample.read("backup_label"));
        let [(name, text)] = &sample.ending_in(".backup")[..] else { panic!("one .backup each") };
        let backup = BackupHistory::parse(text).unwrap();
        assert_eq!(backup.as_bytes(), text);

        let same =
            |get: fn(&BackupLabel) -> Option<String>| assert_eq!(get(&label), get(backup.label()));
        same(|l| l.label().map(|text| text.into_owned()));
        same(|l| l.start_time().map(|text| text.into_owned()));
        same(|l| l.method().map(|text| text.into_owned()));
        same(|l| l.from().map(|text| text.into_owned()));
        assert_eq!(label.label().as_deref(), Some("base_backup"));
        assert!(label.start_time().unwrap().starts_with("2026-11-2"));
        assert!(backup.stop_time().unwrap().ends_with(" UTC"));
        assert_eq!(label.method().is_some(), major >= "9.1".parse().unwrap());
        assert_eq!(label.from().is_some(), major >= "9.2".parse().unwrap());
        assert_eq!(label.incremental_from(), None);

        let (segment, lsn) = (label.start_segment(), label.start_lsn());
        assert_eq!(layout.containing(segment.timeline, lsn), segment);
        assert_eq!(label.start_timeline(), segment.timeline);
        let offset = (lsn.0 - layout.start(segment.place).unwrap().0) as u32;
        assert_eq!(name.parse(), Ok(WalFileName::Backup(segment, offset)));
        assert!(label.checkpoint() >= lsn && backup.stop_lsn() > label.checkpoint());
        assert_eq!(layout.containing(segment.timeline, backup.stop_lsn()), backup.stop_segment());
        assert_eq!(backup.stop_timeline(), segment.timeline);
    }
}

#[test]
fn histories() {
    for sample in samples::all() {
        let layout = ControlFile::parse(&sample.read("pg_control")).unwrap().layout();
        for (name, text) in sample.ending_in(".history") {
            let WalFileName::History(timeline) = name.parse().unwrap() else { panic!("{name}") };
            let history = TimelineHistory::parse(timeline, &text).unwrap();
            assert_eq!(history.as_bytes(), text);
            assert_eq!(history.ancestors().len() as u32, timeline.number() - 1);
            assert_eq!(history.parent().unwrap().number(), timeline.number() - 1);
            let by_segment = matches!(history.begins(), Some(ForkPoint::Segment(_)));
            assert_eq!(by_segment, layout.segments_per_log_id() == 255, "{}", sample.name);
            let reason = &history.ancestors()[0].reason;
            assert!(reason == "no recovery target specified" || reason.starts_with("before "));
            for segment in sample.segments("wal") {
                let segment = segment.split('.').next().unwrap().parse().unwrap();
                let place = history.locate(segment, layout);
                let expected = match sample.name.as_str() {
                    _ if segment.timeline > timeline => SegmentInHistory::Unrelated,
                    "9.3" | "9.4" if segment.to_string() == "000000020000000000000005" => {
                        SegmentInHistory::AtFork
                    }
                    _ => SegmentInHistory::Included,
                };
                assert_eq!(place, expected, "{} {segment}", sample.name);
            }
        }
    }
}

#[test]
fn recycled_segments_are_not_what_their_name_says() {
    for sample in samples::all() {
        let control = ControlFile::parse(&sample.read("pg_control")).unwrap();
        for name in sample.segments("recycled") {
            let page = sample.segment("recycled", &name);
            let size = control.segment_size.bytes();
            let error =
                check_segment_header(&page, name.parse().unwrap(), size, &Expected::of(&control));
            assert!(matches!(error, Err(Unsound::OtherPosition { .. })), "{error:?}");
        }
    }
}
