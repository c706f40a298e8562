use twowarm_core::version::PgMajor;
use twowarm_core::wal::{
    BackupHistory, BackupLabel, BadControlFile, Completeness, ControlFile, Expected, Lsn,
    PageHeader, SegmentInHistory, SegmentLayout, SegmentName, SegmentPlace, SegmentSize,
    SegmentWalk, TimelineHistory, TimelineId, WalEnd, WalFileName, check_segment_header,
    completeness,
};

use crate::text;

/// The name of a WAL file; a segment's neighbours in any layout.
pub fn wal_file_name(data: &[u8]) {
    let Ok(name) = text(data).parse::<WalFileName>() else { return };
    assert_eq!(name.to_string(), text(data));
    let Some(segment) = name.segment() else { return };
    for major in [PgMajor::ALL[0], PgMajor::ALL[PgMajor::ALL.len() - 1]] {
        for size in 0..=10 {
            let size =
                SegmentSize::new(1 << (20 + size)).expect("a power of two within the bounds");
            neighbours(segment, SegmentLayout::new(major, size));
        }
    }
}

fn neighbours(segment: SegmentName, layout: SegmentLayout) {
    let Ok(start) = layout.start(segment.place) else {
        assert_eq!(layout.next(segment).or(layout.previous(segment)), None);
        return;
    };
    assert_eq!(layout.containing(segment.timeline, start), segment);
    assert_eq!(layout.ending_at(segment.timeline, start), layout.previous(segment));
    if let Some(next) = layout.next(segment) {
        assert_eq!(layout.previous(next), Some(segment));
        assert_eq!(layout.distance(segment.place, next.place), Ok(1));
    }
}

/// A WAL position.
pub fn lsn(data: &[u8]) {
    let Ok(lsn) = text(data).parse::<Lsn>() else { return };
    assert_eq!(lsn.to_string().parse(), Ok(lsn));
}

/// The content of `PG_VERSION`.
pub fn pg_version(data: &[u8]) {
    let Ok(major) = text(data).parse::<PgMajor>() else { return };
    assert_eq!(major.to_string().parse(), Ok(major));
}

/// A timeline history file, and the place of segments in it.
pub fn timeline_history(data: &[u8]) {
    let [number, content @ ..] = data else { return };
    let timeline = TimelineId::new(u32::from(*number) + 1).expect("not 0");
    let Ok(history) = TimelineHistory::parse(timeline, content) else { return };
    assert_eq!(history.as_bytes(), content);
    assert!(history.ancestors().is_sorted_by(|a, b| a.timeline < b.timeline));
    assert!(history.ancestors().iter().all(|a| a.timeline < timeline));
    for major in PgMajor::ALL {
        let layout = SegmentLayout::new(major, SegmentSize::DEFAULT);
        for segment in 0..10 {
            let place = SegmentPlace { log_id: 0, segment };
            let own = history.locate(SegmentName { timeline, place }, layout);
            assert!(!matches!(own, SegmentInHistory::PastFork | SegmentInHistory::Unrelated));
            if let Some(newest) = history.newest_with(place, layout) {
                let name = SegmentName { timeline: newest, place };
                assert_eq!(history.locate(name, layout), SegmentInHistory::Included);
            }
        }
    }
}

/// A `backup_label`.
pub fn backup_label(data: &[u8]) {
    let Ok(label) = BackupLabel::parse(data) else { return };
    assert_eq!(label.as_bytes(), data);
    assert_eq!(label.start_timeline(), label.start_segment().timeline);
    let texts = [label.label(), label.method(), label.from(), label.start_time()];
    assert!(texts.into_iter().flatten().all(|text| !text.contains('\n')));
}

/// A backup history file.
pub fn backup_history(data: &[u8]) {
    let Ok(backup) = BackupHistory::parse(data) else { return };
    assert_eq!(backup.as_bytes(), data);
    let lines = data.split_inclusive(|&b| b == b'\n');
    let label: Vec<u8> =
        lines.enumerate().filter(|(i, _)| *i != 1).flat_map(|(_, l)| l).copied().collect();
    let label = BackupLabel::parse(&label).expect("without its stop line it is a label");
    assert_eq!(label.start_lsn(), backup.label().start_lsn());
    assert_eq!(label.checkpoint(), backup.label().checkpoint());
}

/// pg_control. Of a newer version only the system identifier is read.
pub fn control_file(data: &[u8]) {
    match ControlFile::parse(data) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let newer = matches!(error, BadControlFile::Newer { .. });
            assert_eq!(ControlFile::identifier_in(data).is_ok(), newer);
        }
        Ok(control) => {
            assert_eq!(control.layout().size(), control.segment_size);
            assert_eq!(ControlFile::parse(&data[..ControlFile::BYTES]), Ok(control));
        }
    }
}

/// The first page of a segment.
pub fn segment_header(data: &[u8]) {
    let Ok(page) = PageHeader::parse(data) else { return };
    let Some(long) = page.long else { return };
    let layout = SegmentLayout::new(page.major.unwrap_or(PgMajor::NEWEST), long.segment_size);
    let name = layout.containing(page.timeline, page.address);
    let size = long.segment_size.bytes();
    let Ok(segment) = check_segment_header(data, name, size, &Expected::default()) else {
        let without_cluster = page.major.is_none() && long.system_identifier == 0;
        assert!(without_cluster || layout.start(name.place) != Ok(page.address));
        return;
    };
    assert_eq!(check_segment_header(data, name, size, &segment.expected()), Ok(segment));
    assert_eq!(segment.unknown_records().is_some(), page.major.is_none());
    assert!(check_segment_header(data, name, size - 1, &Expected::default()).is_err());
}

/// The records of a segment of 1 MB. The first byte chooses the version; the others are the content of the first
/// page and of the pages after it.
pub fn segment_walk(data: &[u8]) {
    const PAGE: usize = 1024;
    let [choice, content @ ..] = data else { return };
    let major = PgMajor::ALL[usize::from(*choice) % PgMajor::ALL.len()];
    let magic = major.wal_magic().expect("a known major");
    let mut first =
        [&magic.to_le_bytes()[..], &[2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    if !major.skips_last_segment() {
        first.extend([0; 8]);
    }
    first.extend(7_u64.to_le_bytes());
    first.extend((1_u32 << 20).to_le_bytes());
    first.extend((PAGE as u32).to_le_bytes());
    let mut bytes = [&first[..], content].concat();
    let whole = bytes.len().next_multiple_of(PAGE).min(1 << 20);
    bytes.resize(whole, 0);

    let name = "000000010000000000000000".parse().expect("a name");
    let header = check_segment_header(&bytes, name, 1 << 20, &Expected::default())
        .expect("the header is valid");
    let found =
        completeness(name, &header, &mut &bytes[..]).expect("reading from memory does not fail");
    let mut walk = SegmentWalk::new(&header, name);
    for page in bytes.chunks(PAGE) {
        let before = walk.ended().cloned();
        walk.push(page);
        assert!(before.is_none() || walk.ended() == before.as_ref());
    }
    let end = walk.finish();
    assert_eq!(found == Completeness::Whole, end.is_whole());
    match end {
        WalEnd::ReachesEnd => assert_eq!(bytes.len(), 1 << 20),
        WalEnd::Switched { at } | WalEnd::Stops { at, .. } => {
            assert!(at.0 <= bytes.len() as u64);
        }
    }
}
