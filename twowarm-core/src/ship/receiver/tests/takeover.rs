//! A node that was promoted takes the archive over; nothing else does.

use proptest::prelude::*;

use super::*;

/// Segment 3 ends at 0/400000; the fork is in it.
const FORK: &[u8] = b"1\t0/3A0000\tno recovery target specified\n";

fn old() -> Hello {
    Hello { node_id: "old-node".parse().unwrap(), label: "db1:/pg".into(), ..hello() }
}

/// The node that was promoted, which sends a history first.
fn new() -> Hello {
    Hello {
        node_id: "new-node".parse().unwrap(),
        label: "db2:/pg".into(),
        machine: Some("machine-2".parse().unwrap()),
        ..hello()
    }
}

fn name(timeline: u32, number: u64) -> String {
    format!("{timeline:08X}00000000{number:08X}")
}

fn on_timeline(timeline: u32, number: u64) -> Vec<u8> {
    let mut bytes = segment(number, CLUSTER);
    bytes[4..8].copy_from_slice(&timeline.to_le_bytes());
    bytes
}

impl Bed {
    /// Sends one file as archiveWALFile does: a history over a connection that announces it.
    fn archive(&self, from: Hello, name: &str, content: &[u8]) -> Result<Stored, Refusal> {
        let path = self.file(content);
        let name: WalFileName = name.parse().unwrap();
        let is_history = matches!(name, WalFileName::History(_));
        let promoted_to = is_history.then(|| name.timeline());
        let mut sender = match self.open(Hello { promoted_to, ..from }) {
            Ok(sender) => sender,
            Err(LinkError::Refused { refusal, .. }) => return Err(refusal),
            Err(e) => panic!("{e}"),
        };
        let stored = sender.send(name, &path);
        sender.close();
        match stored {
            Ok(stored) => Ok(stored),
            Err(SendError::Link(LinkError::Refused { refusal, .. })) => Err(refusal),
            Err(e) => panic!("{e}"),
        }
    }

    fn archive_segment(&self, from: Hello, timeline: u32, number: u64) -> Result<Stored, Refusal> {
        self.archive(from, &name(timeline, number), &on_timeline(timeline, number))
    }

    fn owner(&self) -> String {
        Archive::open(&self.far.archive).unwrap().binding().unwrap().unwrap().label
    }

    /// The old primary has shipped the segments 2 and 3.
    fn with_old_owner() -> Bed {
        let bed = Bed::new();
        for number in [2, 3] {
            bed.archive_segment(old(), 1, number).unwrap();
        }
        bed
    }
}

#[test]
fn a_promoted_node_takes_over_with_its_history() {
    let bed = Bed::with_old_owner();
    let refusal = bed.archive_segment(new(), 2, 3).unwrap_err();
    assert!(refusal.message.contains("belongs to the sender db1:/pg"), "{}", refusal.message);
    assert_eq!(bed.archive(new(), "00000002.history", FORK), Ok(Stored::New));
    assert_eq!(bed.owner(), "db2:/pg");
    for number in [3, 4] {
        bed.archive_segment(new(), 2, number).unwrap();
    }
    assert_eq!(bed.archive(new(), "00000002.history", FORK), Ok(Stored::AlreadyThere));
    for number in [3, 4] {
        let refusal = bed.archive_segment(old(), 1, number).unwrap_err();
        assert_eq!((refusal.code, refusal.retryable), (RefusalCode::ANOTHER_SENDER, false));
        for words in ["db2:/pg, which was promoted (timeline 2)", "db1:/pg is not", "--rejoin"] {
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }
}

/// The session of the old primary was accepted before the other node was promoted.
#[test]
fn a_connection_of_the_old_primary_ends_with_the_takeover() {
    let bed = Bed::with_old_owner();
    let mut session = bed.open(old()).unwrap();
    bed.archive(new(), "00000002.history", FORK).unwrap();
    for (number, code) in [(3, RefusalCode::ANOTHER_SENDER), (4, RefusalCode::PAST_FORK)] {
        let path = bed.file(&segment(number, CLUSTER));
        assert_eq!(refused(session.send(name(1, number).parse().unwrap(), &path)).code, code);
    }
    assert!(session.probe().is_err());
    session.close();
    assert_eq!(bed.owner(), "db2:/pg");
}

#[test]
fn a_session_that_announces_a_history_may_send_nothing_else() {
    let bed = Bed::with_old_owner();
    let announces = Hello { promoted_to: Some(timeline(2)), ..new() };
    let mut sender = bed.open(announces).unwrap();
    assert!(sender.probe().is_err());
    let path = bed.file(&on_timeline(2, 4));
    let refusal = refused(sender.send(name(2, 4).parse().unwrap(), &path));
    assert_eq!(refusal.code, RefusalCode::ANOTHER_SENDER);
    let path = bed.file(&segment(4, CLUSTER));
    assert!(sender.send(name(1, 4).parse().unwrap(), &path).is_err());
    sender.close();
    assert_eq!((bed.owner(), bed.stored().len()), ("db1:/pg".to_owned(), 2));
}

fn timeline(number: u32) -> crate::wal::TimelineId {
    crate::wal::TimelineId::new(number).unwrap()
}

#[test]
fn a_history_that_does_not_continue_the_archive_takes_nothing_over() {
    let forged: [(&str, &[u8], &str); 4] = [
        // The archive has segment 3, after this fork.
        ("00000002.history", b"1\t0/2F0000\tx\n", "000000010000000000000003, which is past"),
        ("00000003.history", b"2\t0/3A0000\tx\n", "not a child of timeline 1"),
        ("00000003.history", b"1\t0/2F0000\tx\n2\t0/3A0000\tx\n", "past the point"),
        ("00000001.history", b"", ""),
    ];
    for (name, text, words) in forged {
        let bed = Bed::with_old_owner();
        let refusal = bed.archive(new(), name, text).unwrap_err();
        assert!(refusal.message.contains(words), "{}", refusal.message);
        assert_eq!((bed.owner(), bed.stored().len()), ("db1:/pg".to_owned(), 2), "{name}");
        bed.archive_segment(old(), 1, 4).unwrap();
    }
}

#[test]
fn a_second_promotion_must_continue_the_first() {
    let bed = Bed::with_old_owner();
    bed.archive(new(), "00000002.history", FORK).unwrap();
    bed.archive_segment(new(), 2, 3).unwrap();
    bed.archive_segment(new(), 2, 4).unwrap();
    let third = || Hello { node_id: "third".parse().unwrap(), label: "db3:/pg".into(), ..hello() };
    for (name, text, words) in [
        // Another promotion of the old standby, and one of the old primary.
        ("00000002.history", "1\t0/3B0000\tx\n", "was promoted (timeline 2)"),
        ("00000003.history", "1\t0/4A0000\tx\n", "not a child of timeline 2"),
        ("00000003.history", "1\t0/3B0000\tx\n2\t0/4A0000\tx\n", "not a child of timeline 2"),
        ("00000003.history", "1\t0/3A0000\tx\n2\t0/3F0000\tx\n", "000000020000000000000004"),
    ] {
        let refusal = bed.archive(third(), name, text.as_bytes()).unwrap_err();
        assert!(refusal.message.contains(words), "{}", refusal.message);
    }
    bed.archive(third(), "00000003.history", b"1\t0/3A0000\tx\n2\t0/4A0000\tx\n").unwrap();
    assert_eq!(bed.owner(), "db3:/pg");
    let refusal = bed.archive_segment(new(), 2, 5).unwrap_err();
    assert!(refusal.message.contains("timeline 3"), "{}", refusal.message);
}

/// A clone of the promoted node has its history too.
#[test]
fn a_clone_of_the_archives_sender_takes_nothing_over() {
    let clone = || Hello { node_id: "clone".parse().unwrap(), label: "clone:/pg".into(), ..new() };
    let bed = Bed::with_old_owner();
    bed.archive(new(), "00000002.history", FORK).unwrap();
    bed.archive(clone(), "00000002.history", FORK).unwrap_err();
    // The archive was given to the promoted node by configStandby; its history came with a base copy, or not at all.
    for with_history in [false, true] {
        let bed = Bed::new();
        if with_history {
            std::fs::write(bed.far.archive.join("00000002.history"), FORK).unwrap();
        }
        bed.archive_segment(new(), 2, 4).unwrap();
        let refusal = bed.archive(clone(), "00000002.history", FORK).unwrap_err();
        assert!(refusal.message.contains("was promoted (timeline 2)"), "{}", refusal.message);
        assert_eq!(bed.owner(), "db2:/pg");
    }
    // A clone with the same id on another machine.
    let bed = Bed::with_old_owner();
    let copy = Hello { machine: Some("machine-9".parse().unwrap()), ..old() };
    let refusal = bed.archive(copy, "00000002.history", FORK).unwrap_err();
    assert!(refusal.message.contains("clone"), "{}", refusal.message);
}

/// The node has fetched files of the new timeline from another archive before the promoted node has sent any.
#[test]
fn a_fetched_history_does_not_prevent_the_takeover() {
    let bed = Bed::with_old_owner();
    std::fs::write(bed.far.archive.join("00000002.history"), FORK).unwrap();
    let other = b"1\t0/3B0000\tx\n";
    bed.archive(new(), "00000002.history", other).unwrap_err();
    assert_eq!(bed.archive(new(), "00000002.history", FORK), Ok(Stored::AlreadyThere));
    assert_eq!(bed.owner(), "db2:/pg");
}

#[test]
fn an_archive_without_anything_to_compare_is_not_taken_over() {
    let bed = Bed::new();
    bed.open(old()).unwrap().probe().unwrap();
    let refusal = bed.archive(new(), "00000002.history", FORK).unwrap_err();
    assert!(refusal.message.contains("compare"), "{}", refusal.message);
}

#[test]
fn a_relay_that_sends_to_itself_is_recognized() {
    let bed = Bed::with_old_owner();
    let relays = |by: &str| Hello { relayed_by: by.parse().ok(), ..old() };
    bed.open(relays("db2-node-id")).unwrap().close();
    let error = bed.open(relays("far-node-id")).unwrap_err();
    let LinkError::Refused { refusal, .. } = error else { panic!("{error}") };
    assert_eq!(refusal.code, RefusalCode::SELF);
}

/// What one of the nodes tries.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The old primary ships its next segment of timeline 1; it may have missed that it was replaced.
    Old,
    /// The promoted node ships its history.
    History,
    /// The promoted node ships its next segment.
    New,
    /// A clone of the old primary that was never promoted.
    Clone,
    /// A clone that was promoted at an earlier point.
    PromotedClone,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// In any order: the archive has one owner at a time, never gets back to the old one, never has WAL of timeline 1 past
    /// the fork together with timeline 2, and the promoted node is refused only if it lacks WAL that the archive has.
    #[test]
    fn one_primary_owns_the_archive(
        steps in prop::collection::vec(
            prop_oneof![
                3 => Just(Step::Old), 2 => Just(Step::History), 3 => Just(Step::New),
                1 => Just(Step::Clone), 1 => Just(Step::PromotedClone),
            ],
            1..14,
        )
    ) {
        let bed = Bed::with_old_owner();
        let clone = || Hello { node_id: "clone".parse().unwrap(), label: "c:/pg".into(), ..old() };
        let (mut next_old, mut next_new, mut taken) = (4, 3, false);
        for step in steps {
            match step {
                Step::Old => {
                    let stored = bed.archive_segment(old(), 1, next_old).is_ok();
                    prop_assert_eq!(stored, !taken);
                    next_old += u64::from(stored);
                }
                Step::History => {
                    let stored = bed.archive(new(), "00000002.history", FORK).is_ok();
                    // With segment 4 of timeline 1 the archive has WAL that the promoted node lacks.
                    prop_assert_eq!(stored, taken || next_old == 4);
                    taken |= stored;
                }
                Step::New => {
                    let stored = bed.archive_segment(new(), 2, next_new).is_ok();
                    prop_assert_eq!(stored, taken);
                    next_new += u64::from(stored);
                }
                Step::Clone => {
                    prop_assert!(bed.archive_segment(clone(), 1, next_old).is_err());
                }
                Step::PromotedClone => {
                    let earlier = b"1\t0/2A0000\tx\n";
                    prop_assert!(bed.archive(clone(), "00000002.history", earlier).is_err());
                }
            }
            prop_assert_eq!(bed.owner(), if taken { "db2:/pg" } else { "db1:/pg" });
        }
        prop_assert_eq!(bed.stored().iter().any(|file| file == &name(1, 4)), next_old > 4);
        prop_assert!(!taken || next_old == 4);
    }
}
