use super::*;

/// A cluster of 20, by its PG_VERSION, its pg_control, and a segment in its pg_wal.
fn newer_cluster(major: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    fs::create_dir(place("global")).unwrap();
    fs::create_dir(place("pg_wal")).unwrap();
    let mut control = vec![0; 8192];
    control[..8].copy_from_slice(&77_u64.to_le_bytes());
    control[8..12].copy_from_slice(&2001_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&control[..320]);
    control[320..324].copy_from_slice(&checksum.to_le_bytes());
    fs::write(place("global/pg_control"), control).unwrap();
    fs::write(place("PG_VERSION"), format!("{major}\n")).unwrap();
    dir
}

fn first_page(system_identifier: u64) -> Vec<u8> {
    let mut page = vec![0; 40];
    page[..8].copy_from_slice(&[0x30, 0xD1, 2, 0, 1, 0, 0, 0]);
    page[24..32].copy_from_slice(&system_identifier.to_le_bytes());
    page[32..36].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    page[36..].copy_from_slice(&8192_u32.to_le_bytes());
    page
}

#[test]
fn a_newer_cluster_is_known_by_its_identifier_and_its_wal() {
    let dir = newer_cluster("20");
    let wal = |name: &str, page: &[u8]| {
        fs::write(dir.path().join("pg_wal").join(name), page).unwrap();
    };
    let look = || identity(dir.path()).unwrap().unwrap();
    let found = look();
    assert_eq!((found.system_identifier, found.segment_size), (77, None));
    assert_eq!((found.major, found.layout()), ("20".parse().ok(), None));
    wal("000000010000000000000001", &first_page(78));
    wal("archive_status", b"");
    assert_eq!(look().segment_size, None, "another cluster's says nothing");
    wal("000000010000000000000002", &first_page(77));
    let found = look();
    assert_eq!(found.segment_size, SegmentSize::new(1 << 20).ok());
    assert_eq!(found.layout().unwrap().size().bytes(), 1 << 20);
    assert!(found.control.is_none() && control_file(dir.path()).is_err());
    assert_eq!(control_bytes(dir.path()).unwrap().unwrap().len(), 8192);
    // Until its server says that it is open, it may need anything.
    assert_eq!(last_place_needed(dir.path(), &found), Some(EVERY_PLACE));
    let status = |status: &str| {
        let pid = std::process::id();
        let text = format!("{pid}\n/d\n0\n5432\n/tmp\n\n 1 1\n{status}\n");
        fs::write(dir.path().join("postmaster.pid"), text).unwrap();
        last_place_needed(dir.path(), &found)
    };
    assert_eq!(status("starting"), Some(EVERY_PLACE));
    assert_eq!(status("ready   "), None);
}

#[test]
fn a_known_version_has_no_newer_pg_control() {
    for major in ["15", "18"] {
        assert!(identity(newer_cluster(major).path()).is_err(), "{major}");
    }
    // Its release was not seen.
    let found = identity(newer_cluster("19").path()).unwrap().unwrap();
    assert_eq!((found.major, found.control), ("19".parse().ok(), None));
}

#[test]
fn replay_starts_where_the_label_says_or_else_pg_control() {
    let dir = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for version in ["8.2", "9.2", "9.4", "18-1MB", "19"] {
        let bytes = fs::read(samples.join(version).join("pg_control")).unwrap();
        let control = ControlFile::parse(&bytes).unwrap();
        let own = control.layout().containing(control.timeline, control.redo).place;
        assert_eq!(redo_place(dir.path(), &control), own, "{version}");
        let text = fs::read(samples.join(version).join("backup_label")).unwrap();
        fs::write(dir.path().join("backup_label"), &text).unwrap();
        let start = BackupLabel::parse(&text).unwrap().start_segment().place;
        assert_eq!(redo_place(dir.path(), &control), start, "{version}");
        fs::remove_file(dir.path().join("backup_label")).unwrap();
    }
}
