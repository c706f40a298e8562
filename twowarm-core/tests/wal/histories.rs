//! Timeline history files and backup labels that are not among the samples.

use twowarm_core::version::PgMajor;
use twowarm_core::wal::{
    BackupHistory, BackupLabel, BadBackupLabel, ForkPoint, HistoryError, SegmentInHistory,
    SegmentLayout, SegmentSize, TimelineHistory, TimelineId,
};

fn tli(number: u32) -> TimelineId {
    TimelineId::new(number).unwrap()
}

fn layout(version: &str) -> SegmentLayout {
    SegmentLayout::new(version.parse::<PgMajor>().unwrap(), SegmentSize::DEFAULT)
}

fn places(history: &TimelineHistory, layout: SegmentLayout, expected: &[(&str, SegmentInHistory)]) {
    for &(segment, place) in expected {
        assert_eq!(history.locate(segment.parse().unwrap(), layout), place, "{segment}");
    }
}

#[test]
fn comments_and_odd_white_space_are_taken() {
    let text =
        b"# made by hand\r\n\n \t\n1\t0/6000000\tno recovery target specified\r\n\n\n  2 0/8000098";
    let history = TimelineHistory::parse(tli(3), text).unwrap();
    assert_eq!(history.as_bytes(), text);
    assert_eq!(history.timeline(), tli(3));
    assert_eq!(history.parent(), Some(tli(2)));
    assert_eq!(history.ancestors()[0].reason, "no recovery target specified");
    assert_eq!(history.ancestors()[1].reason, "");
    assert_eq!(history.begins(), Some(&ForkPoint::Position("0/8000098".parse().unwrap())));
    assert!(history.is_ancestor(tli(1)) && !history.is_ancestor(tli(3)));
    assert_eq!(history.fork_from(tli(4)), None);
}

#[test]
fn an_empty_history_has_no_ancestors() {
    let history = TimelineHistory::parse(tli(2), b"").unwrap();
    assert_eq!(history, TimelineHistory::without_ancestors(tli(2)));
    assert_eq!((history.parent(), history.begins()), (None, None));
    let own = "000000020000000000000001".parse().unwrap();
    assert_eq!(history.locate(own, layout("9.6")), SegmentInHistory::Included);
}

#[test]
fn what_a_server_refuses() {
    let parse = |text: &str| TimelineHistory::parse(tli(3), text.as_bytes());
    for text in ["1\n", "x\t0/6000000\n", "1\tnowhere\n", "0\t0/6000000\n", "1\t6000000\n"] {
        let error = parse(&format!("# first\n{text}")).unwrap_err();
        assert!(matches!(error, HistoryError::BadLine { line: 2, .. }), "{error}");
    }
    let timeline = tli(3);
    let error = parse("2\t0/6000000\n\n1\t0/7000000\n").unwrap_err();
    assert_eq!(error, HistoryError::OutOfOrder { timeline, line: 3, found: tli(1) });
    let error = parse("1\t0/6000000\n1\t0/7000000\n").unwrap_err();
    assert_eq!(error, HistoryError::OutOfOrder { timeline, line: 2, found: tli(1) });
    let error = parse("3\t0/6000000\n").unwrap_err();
    assert_eq!(error, HistoryError::NotAnAncestor { timeline, line: 1, found: tli(3) });
}

#[test]
fn bytes_of_another_encoding_come_back() {
    let text = b"1\t0/6000000\tat restore point \"caf\xE9\"\n";
    let history = TimelineHistory::parse(tli(2), text).unwrap();
    assert_eq!(history.as_bytes(), text);
    assert_eq!(history.ancestors()[0].reason, "at restore point \"caf\u{FFFD}\"");
}

#[test]
fn a_fork_within_a_segment() {
    use SegmentInHistory::*;
    let history = TimelineHistory::parse(tli(3), b"1\t0/6000000\tx\n2\t0/8000098\tx\n").unwrap();
    places(
        &history,
        layout("13"),
        &[
            ("000000010000000000000001", Included),
            ("000000010000000000000005", Included),
            ("000000010000000000000006", PastFork),
            ("000000020000000000000004", BeforeStart),
            ("000000020000000000000005", AtFork),
            ("000000020000000000000006", Included),
            ("000000020000000000000008", Included),
            ("000000020000000000000009", PastFork),
            ("000000030000000000000007", BeforeStart),
            ("000000030000000000000008", Included),
            ("00000003FFFFFFFF000000FF", Included),
            ("000000040000000000000008", Unrelated),
            ("000000030000000000000100", Unrelated),
        ],
    );
    let newest = |text: &str| {
        let place =
            format!("00000001{text}").parse::<twowarm_core::wal::SegmentName>().unwrap().place;
        history.newest_with(place, layout("13")).map(TimelineId::number)
    };
    assert_eq!(newest("0000000000000005"), Some(1));
    assert_eq!(newest("0000000000000006"), Some(2));
    assert_eq!(newest("0000000000000007"), Some(2));
    assert_eq!(newest("0000000000000008"), Some(3));
    assert_eq!(newest("0000000000000100"), None);
}

#[test]
fn a_fork_by_segment_name() {
    use SegmentInHistory::*;
    let text = b"1\t000000010000000000000005\tx\n\n2\t0000000200000000000000FE\tx\n";
    let history = TimelineHistory::parse(tli(3), text).unwrap();
    places(
        &history,
        layout("9.2"),
        &[
            ("000000010000000000000005", Included),
            ("000000010000000000000006", PastFork),
            ("000000020000000000000004", BeforeStart),
            ("000000020000000000000005", Included),
            ("0000000200000000000000FE", Included),
            ("000000020000000100000000", PastFork),
            ("0000000300000000000000FD", BeforeStart),
            ("0000000300000000000000FE", Included),
            ("000000030000000100000000", Included),
            ("0000000300000000000000FF", Unrelated),
        ],
    );
}

const LABEL: &str = "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)
CHECKPOINT LOCATION: 0/3000060
";

#[test]
fn labels_of_all_kinds() {
    let parse = |rest: &str| BackupLabel::parse(format!("{LABEL}{rest}").as_bytes()).unwrap();
    let label = parse("LABEL: a: b (file x) LABEL: y\nSOMETHING NEW: 1\n");
    assert_eq!(label.label().as_deref(), Some("a: b (file x) LABEL: y"));
    assert!(String::from_utf8_lossy(label.as_bytes()).ends_with("SOMETHING NEW: 1\n"));
    assert_eq!((label.method(), label.from(), label.start_time()), (None, None, None));
    assert_eq!(parse("LABEL: \n").label().as_deref(), Some(""));
    let label =
        parse("START TIMELINE: 1\nINCREMENTAL FROM LSN: 0/2000028\nINCREMENTAL FROM TLI: 1\n\n");
    assert_eq!(label.incremental_from(), Some(("0/2000028".parse().unwrap(), tli(1))));
    let label = BackupLabel::parse(&[LABEL.as_bytes(), b"LABEL: \xE9\n"].concat()).unwrap();
    assert_eq!(label.label().as_deref(), Some("\u{FFFD}"));
}

#[test]
fn labels_that_a_server_refuses() {
    let parse = |text: &str| BackupLabel::parse(text.as_bytes());
    let missing = |result| matches!(result, Err(BadBackupLabel::Missing { .. }));
    assert!(missing(parse("")));
    assert!(missing(parse(LABEL.trim_end())));
    assert!(missing(parse(&LABEL.replace("START WAL", "STOP WAL"))));
    assert!(missing(parse(&format!("\n{LABEL}"))));
    let bad = |result| matches!(result, Err(BadBackupLabel::BadValue { .. }));
    assert!(bad(parse(&LABEL.replace('\n', "\r\n"))));
    assert!(bad(parse(&LABEL.replace("0/3000060", "0"))));
    assert!(bad(parse(&LABEL.replace("00000001000", "0000000100"))));
    assert!(bad(parse(&format!("{LABEL}START TIMELINE: one\n"))));
    assert!(matches!(
        parse(&format!("{LABEL}START TIMELINE: 2\n")),
        Err(BadBackupLabel::OtherTimeline { .. })
    ));
    assert!(missing(BackupHistory::parse(LABEL.as_bytes()).map(|b| b.label().clone())));
}
