//! The first page of a segment: which content is accepted under which name.

use twowarm_core::version::PgMajor;
use twowarm_core::wal::{
    BadPageHeader, Expected, PageHeader, SegmentName, SegmentSize, Unsound, check_segment_header,
};

const SIZE: u64 = 16 << 20;

fn name(text: &str) -> SegmentName {
    text.parse().unwrap()
}

/// The first 40 bytes of a segment that PostgreSQL 18 wrote.
fn header() -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&[0x18, 0xD1, 0x02, 0, 1, 0, 0, 0]);
    bytes[8..16].copy_from_slice(&0x0200_0000_u64.to_le_bytes());
    bytes[24..32].copy_from_slice(&0x6B03_C010_99F7_9837_u64.to_le_bytes());
    bytes[32..36].copy_from_slice(&(SIZE as u32).to_le_bytes());
    bytes[36..].copy_from_slice(&8192_u32.to_le_bytes());
    bytes
}

fn check(bytes: &[u8], expected: &Expected) -> Result<Option<PgMajor>, Unsound> {
    check_segment_header(bytes, name("000000010000000000000002"), SIZE, expected).map(|h| h.major())
}

fn changed(at: usize, byte: u8) -> Result<Option<PgMajor>, Unsound> {
    let mut bytes = header();
    bytes[at] = byte;
    check(&bytes, &Expected::default())
}

#[test]
fn a_sound_header() {
    let name = name("000000010000000000000002");
    let segment = check_segment_header(&header(), name, SIZE, &Expected::default()).unwrap();
    assert_eq!(segment.major(), "18".parse().ok());
    assert_eq!(segment.unknown_records(), None);
    assert_eq!(segment.system_identifier(), 0x6B03_C010_99F7_9837);
    assert_eq!(segment.block_size(), 8192);
    assert_eq!(segment.layout().size(), SegmentSize::DEFAULT);
    assert_eq!(segment.first_timeline(), name.timeline);
    assert_eq!(check(&header(), &segment.expected()), Ok(segment.major()));
    // A promotion copies the segment to the new timeline, and the first pages keep the old one.
    let later = SegmentName { timeline: 4.to_string().parse().unwrap(), ..name };
    assert!(check_segment_header(&header(), later, SIZE, &Expected::default()).is_ok());
}

#[test]
fn of_something_else() {
    let unknown = |magic| Err(Unsound::NotWal(BadPageHeader::UnknownMagic(magic)));
    assert_eq!(check(&[0; 40], &Expected::default()), unknown(0));
    assert_eq!(changed(0, 0x1F), unknown(0xD11F));
    assert_eq!(changed(0, 0x15), unknown(0xD115));
    assert_eq!(check(b"text", &Expected::default()), unknown(0x6574));
    for length in 0..40 {
        let error = check(&header()[..length], &Expected::default()).unwrap_err();
        assert_eq!(error, Unsound::NotWal(BadPageHeader::TooShort(length)));
    }
    let mut foreign = header();
    foreign[..2].reverse();
    let big_endian = BadPageHeader::BigEndian("18".parse().unwrap());
    assert_eq!(PageHeader::parse(&foreign), Err(big_endian));
}

/// A server that was upgraded to an unknown, newer version can still archive.
#[test]
fn of_a_version_newer_than_all_that_are_known() {
    let newer = |magic: u16| {
        let mut bytes = header();
        bytes[..2].copy_from_slice(&magic.to_le_bytes());
        bytes
    };
    let of = |major: &str| Expected { major: major.parse().ok(), ..Expected::default() };
    let unknown = |magic| Err(Unsound::NotWal(BadPageHeader::UnknownMagic(magic)));
    let own = name("000000010000000000000002");
    for magic in [0xD123, 0xD140, 0xD201] {
        let segment = check_segment_header(&newer(magic), own, SIZE, &Expected::default()).unwrap();
        let why = segment.unknown_records().unwrap().to_string();
        assert!(why.contains(&format!("{magic:04X}")) && why.contains("newer than 19"), "{why}");
        assert_eq!(check(&newer(magic), &segment.expected()), Ok(None));
        // The last betas of 19 had another magic number than the earlier ones.
        for major in ["19", "20"] {
            assert_eq!(check(&newer(magic), &of(major)), Ok(None));
        }
        for known in ["15", "18"] {
            assert_eq!(check(&newer(magic), &of(known)), unknown(magic));
        }
        let cluster = Expected { system_identifier: Some(7), ..of("20") };
        let error = check(&newer(magic), &cluster);
        assert!(matches!(error, Err(Unsound::OtherCluster { expected: 7, .. })), "{error:?}");
        let other = name("000000010000000000000003");
        let error = check_segment_header(&newer(magic), other, SIZE, &of("20"));
        assert!(matches!(error, Err(Unsound::OtherPosition { .. })), "{error:?}");
        for (at, byte) in [(33, 1), (36, 1), (4, 0), (2, 0)] {
            let mut bytes = newer(magic);
            bytes[at] = byte;
            check(&bytes, &of("20")).unwrap_err();
        }
        let mut without_cluster = newer(magic);
        without_cluster[24..32].fill(0);
        assert_eq!(check(&without_cluster, &of("20")), unknown(magic));
    }
    for magic in [0xD11F, 0xD300, 0xFFFF, 0xD0] {
        assert_eq!(check(&newer(magic), &of("20")), unknown(magic));
    }
    // A development version that still writes the WAL of 19.
    assert_eq!(check(&newer(0xD122), &of("20")), Ok("19".parse().ok()));
    let found = "18".parse().unwrap();
    let error = Unsound::OtherMajor { expected: "20".parse().unwrap(), found };
    assert_eq!(check(&header(), &of("20")), Err(error));
}

#[test]
fn damaged() {
    assert_eq!(changed(2, 0), Err(Unsound::NotAFirstPage));
    assert_eq!(changed(2, 0x12), Err(Unsound::NotWal(BadPageHeader::UnknownFlags(0x12))));
    assert_eq!(changed(4, 0), Err(Unsound::NotWal(BadPageHeader::NoTimeline)));
    assert_eq!(changed(33, 1), Err(Unsound::NotWal(BadPageHeader::BadSegmentSize(SIZE + 256))));
    assert_eq!(changed(36, 1), Err(Unsound::NotWal(BadPageHeader::BadBlockSize(8193))));
    assert!((0..=0xF_u8).all(|flags| changed(2, flags | 2).is_ok()));
}

#[test]
fn of_another_name_or_cluster() {
    let found = "0/1000000".parse().unwrap();
    let expected = "0/2000000".parse().unwrap();
    let own = name("000000010000000000000002");
    let error = Unsound::OtherPosition { name: own, expected, found };
    assert_eq!(changed(11, 1), Err(error.clone()));
    assert!(error.to_string().contains("recycled"));
    let later = Unsound::LaterTimeline { name: own, found: "9".parse().unwrap() };
    assert_eq!(changed(4, 9), Err(later));

    let expected = Expected { system_identifier: Some(7), ..Expected::default() };
    let found = 0x6B03_C010_99F7_9837;
    assert_eq!(check(&header(), &expected), Err(Unsound::OtherCluster { expected: 7, found }));
    let size = SegmentSize::new(1 << 20).unwrap();
    let expected = Expected { segment_size: Some(size), ..Expected::default() };
    let error = Unsound::OtherSegmentSize { expected: size, found: SegmentSize::DEFAULT };
    assert_eq!(check(&header(), &expected), Err(error));
    let major = "17".parse().unwrap();
    let expected = Expected { major: Some(major), ..Expected::default() };
    let error = Unsound::OtherMajor { expected: major, found: "18".parse().unwrap() };
    assert_eq!(check(&header(), &expected), Err(error));

    let nowhere = name("000000010000000000000100");
    let result = check_segment_header(&header(), nowhere, SIZE, &Expected::default());
    assert!(matches!(result, Err(Unsound::NoSuchSegment(_))));
}

#[test]
fn of_the_wrong_length() {
    let sized = |bytes| {
        let name = name("000000010000000000000002");
        check_segment_header(&header(), name, bytes, &Expected::default()).unwrap_err()
    };
    let segment_size = SegmentSize::DEFAULT;
    assert_eq!(sized(SIZE - 1), Unsound::TooSmall { bytes: SIZE - 1, segment_size });
    assert_eq!(sized(SIZE + 1), Unsound::TooLarge { bytes: SIZE + 1, segment_size });
}

#[test]
fn from_a_32_bit_machine() {
    let mut bytes = header();
    bytes.copy_within(24..40, 20);
    let segment = check_segment_header(
        &bytes[..36],
        name("000000010000000000000002"),
        SIZE,
        &Expected::default(),
    );
    assert_eq!(segment.unwrap().system_identifier(), 0x6B03_C010_99F7_9837);
    assert_eq!(PageHeader::parse(&bytes).unwrap().long.unwrap().alignment, 4);
}
