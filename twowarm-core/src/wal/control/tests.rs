use super::fields::Layout;
use super::*;
use crate::wal::checksum::Checksum;

/// A file with these values at the offsets of the layout, and zeros elsewhere.
fn write(layout: &Layout, catalog_version: u32, state: u32) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    let mut set = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    set(8, layout.control_version);
    set(12, catalog_version);
    set(16, state);
    set(layout.timeline, 1);
    set(layout.block_size, 8192);
    set(layout.wal_sizes, 8192);
    set(layout.wal_sizes + 4, 16 << 20);
    sign(layout, &mut bytes);
    bytes
}

fn sign(layout: &Layout, bytes: &mut [u8]) {
    let mut checksum = Checksum::new(layout.format());
    checksum.update(&bytes[..layout.checksum]);
    bytes[layout.checksum..][..4].copy_from_slice(&checksum.value().to_le_bytes());
}

#[test]
fn every_major_is_recognized_by_its_versions() {
    let mut majors = Vec::new();
    for layout in &LAYOUTS {
        for &(major, catalog_version) in layout.majors {
            let control = ControlFile::parse(&write(layout, catalog_version, 1)).unwrap();
            assert_eq!(control.major, Some(major));
            assert_eq!(control.layout(), SegmentLayout::new(major, SegmentSize::DEFAULT));
            majors.push(major);
        }
    }
    // The betas of 19 have other layouts.
    majors.dedup();
    assert_eq!(majors, PgMajor::ALL);
}

#[test]
fn an_unknown_catalog_version() {
    for layout in &LAYOUTS {
        let control = ControlFile::parse(&write(layout, 202_001_011, 1)).unwrap();
        let only = Some(layout.format()).filter(|_| layout.majors.len() == 1);
        assert_eq!(control.major, only);
        assert_eq!(Expected::of(&control).major, only);
    }
}

#[test]
fn the_numbers_of_states_changed_in_9_0() {
    for layout in &LAYOUTS {
        let state = |number| ControlFile::parse(&write(layout, 0, number)).map(|c| c.state);
        let last = if layout.control_version < 903 { 5 } else { 6 };
        assert_eq!(state(1), Ok(ClusterState::ShutDown));
        assert_eq!(state(last), Ok(ClusterState::InProduction));
        assert_eq!(state(last - 1), Ok(ClusterState::InArchiveRecovery));
        assert_eq!(state(last + 1), Err(BadControlFile::UnknownState(last + 1)));
    }
}

#[test]
fn invalid_values() {
    let layout = &LAYOUTS[LAYOUTS.len() - 1];
    let with = |at: usize, value: u32| {
        let mut bytes = write(layout, 0, 1);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        sign(layout, &mut bytes);
        ControlFile::parse(&bytes)
    };
    assert_eq!(with(layout.timeline, 0), Err(BadControlFile::NoTimeline));
    assert_eq!(with(layout.wal_sizes + 4, 100), Err(BadControlFile::BadSegmentSize(100)));
    assert_eq!(with(8, 1900), Err(BadControlFile::UnknownVersion(1900)));
    assert!(with(8, 1900).is_err_and(|error| !error.is_retryable()));
}

/// The identifier is first in every version; the checksum is searched for.
#[test]
fn the_identifier_of_a_newer_version_is_read() {
    let newer = |version: u32, checksum_at: usize| {
        let mut bytes = vec![0; 8192];
        bytes[..8].copy_from_slice(&77_u64.to_le_bytes());
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..checksum_at].fill(0x5A);
        let mut checksum = Checksum::new(PgMajor::NEWEST);
        checksum.update(&bytes[..checksum_at]);
        bytes[checksum_at..][..4].copy_from_slice(&checksum.value().to_le_bytes());
        bytes
    };
    // 1904 and 1906 lie between and after the betas of 19; its release may have one of them.
    for (control_version, at) in [(1904, 308), (1906, 312), (2001, 288), (2101, 400), (9901, 508)] {
        let expected = BadControlFile::Newer { control_version, system_identifier: 77 };
        let mut bytes = newer(control_version, at);
        assert_eq!(ControlFile::parse(&bytes), Err(expected));
        assert!(!expected.is_retryable());
        assert_eq!(ControlFile::identifier_in(&bytes), Ok(77));
        bytes[100] ^= 1;
        let torn = ControlFile::parse(&bytes).unwrap_err();
        assert_eq!(torn, BadControlFile::BadNewerChecksum(control_version));
        assert!(torn.is_retryable());
    }
    for version in [1801, 1900, 10_000, 0] {
        let unknown = Err(BadControlFile::UnknownVersion(version));
        assert_eq!(ControlFile::identifier_in(&newer(version, 300)), unknown);
    }
}

/// A standby with a minimum recovery point, whose base backup has not ended.
#[test]
fn recovery_points_by_version() {
    for layout in &LAYOUTS {
        let halves = layout.format().record_format() == RecordFormat::Halves;
        let mut bytes = write(layout, 0, 1);
        // Low and high half of 2/7 in the order of the version.
        let lsn = if halves { [2_u32, 7] } else { [7, 2] };
        for at in [layout.checkpoint, layout.redo, layout.min_recovery_point] {
            bytes[at..at + 4].copy_from_slice(&lsn[0].to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&lsn[1].to_le_bytes());
        }
        sign(layout, &mut bytes);
        let control = ControlFile::parse(&bytes).unwrap();
        let expected = Lsn::from_halves(2, 7);
        assert_eq!((control.checkpoint, control.redo), (expected, expected));
        assert_eq!(control.min_recovery_point, Some(expected));
        assert_eq!((control.backup_start, control.min_recovery_timeline), (None, None));
    }
}
