use super::*;
use crate::timelines::Superseded;
use crate::wal::TimelineId;

const WARM: ServerMode = ServerMode::Warm { restart_for_timeline: false };
const STANDBY: ServerMode =
    ServerMode::Standby { wait_limit: Duration::from_secs(60), follows_latest: true };

fn segment() -> StandbyPolicy {
    StandbyPolicy::new("000000010000000C00000099".parse().unwrap(), WARM)
}

fn standby() -> StandbyPolicy {
    StandbyPolicy::new("000000010000000C00000099".parse().unwrap(), STANDBY)
}

fn history() -> StandbyPolicy {
    StandbyPolicy::new("00000002.history".parse().unwrap(), WARM)
}

fn superseded(following: Following) -> Found {
    Found::Superseded(Superseded { timeline: TimelineId::FIRST, following })
}

fn every_find() -> Vec<Found> {
    let why = || "why".to_owned();
    vec![
        Found::Absent,
        Found::NeverExists,
        superseded(Following::Possible),
        superseded(Following::BaseCopy),
        Found::Arriving,
        Found::Unfinished,
        Found::Settling,
        Found::Ready,
        Found::Damaged(why()),
        Found::Unchecked(why()),
        Found::TooLarge { bytes: 1 },
        Found::NotThatFile(why()),
        Found::Foreign(why()),
        Found::Unreadable(why()),
        Found::NotCopied(why()),
    ]
}

fn decide(policy: &mut StandbyPolicy, order: &Order, found: &Found, waited: u64) -> Decision {
    let waited = Duration::from_secs(waited);
    let (order, found) = (order.clone(), found.clone());
    policy.decide(&Situation { order, found, waited, failed_copies: 1 })
}

#[test]
fn untriggered_a_segment_is_restored_or_waited_for_without_limit() {
    for found in every_find() {
        for order in [Order::Wait, Order::Unsettled] {
            let decision = decide(&mut segment(), &order, &found, 1_000_000);
            let expected = match found {
                Found::Ready => Decision::Restore { as_it_is: false },
                Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
                _ => Decision::Wait,
            };
            assert_eq!(decision, expected, "{found:?}");
        }
    }
}

#[test]
fn a_history_is_answered_at_once_only_if_it_is_known_to_be_absent() {
    for found in every_find() {
        let decision = decide(&mut history(), &Order::Wait, &found, 0);
        let gave_up = matches!(decision, Decision::GiveUp(_));
        assert_eq!(gave_up, matches!(found, Found::Absent | Found::NeverExists), "{found:?}");
    }
}

#[test]
fn triggered_the_only_waits_are_for_free_space_and_for_a_failed_read_and_both_end() {
    for found in every_find() {
        let mut policy = segment();
        let first = decide(&mut policy, &Order::EndWhenAbsent, &found, 5);
        let later = decide(&mut policy, &Order::EndWhenAbsent, &found, 36);
        if let Found::Unreadable(_) = found {
            assert_eq!(first, Decision::Wait);
            assert_eq!(later, Decision::GiveUp(GiveUp::ArchiveUnavailable));
        } else if let Found::NotCopied(_) = found {
            assert_eq!(first, Decision::Wait);
            assert!(
                matches!(later, Decision::Stop(_)),
                "a segment that has arrived is never given up"
            );
        } else {
            assert_ne!(first, Decision::Wait, "{found:?}");
        }
    }
}

#[test]
fn triggered_any_beginning_of_the_segment_is_restored_and_only_another_file_is_set_aside() {
    let restore = |as_it_is| Decision::Restore { as_it_is };
    for found in every_find() {
        let decision = decide(&mut segment(), &Order::EndWhenAbsent, &found, 0);
        match found {
            Found::Ready => assert_eq!(decision, restore(false)),
            Found::Damaged(_)
            | Found::Unchecked(_)
            | Found::Unfinished
            | Found::TooLarge { .. } => {
                assert_eq!(decision, restore(true));
            }
            _ => assert!(!matches!(decision, Decision::Restore { .. }), "{found:?}"),
        }
        let aside = matches!(decision, Decision::SetAside(_));
        assert_eq!(aside, matches!(found, Found::NotThatFile(_)), "{found:?}");
    }
}

#[test]
fn in_standby_mode_the_answer_is_not_yet_after_the_limit() {
    for found in every_find() {
        let early = decide(&mut standby(), &Order::Wait, &found, 59);
        let late = decide(&mut standby(), &Order::Wait, &found, 60);
        match found {
            Found::Ready | Found::NeverExists => assert_eq!(early, late),
            Found::Superseded(Superseded { following: Following::Possible, .. }) => {
                assert_eq!(early, Decision::GiveUp(GiveUp::NotYet), "so that it follows");
            }
            _ => {
                assert_eq!(early, Decision::Wait, "{found:?}");
                assert_eq!(late, Decision::GiveUp(GiveUp::NotYet), "{found:?}");
            }
        }
    }
}

#[test]
fn a_restart_is_requested_only_if_it_helps() {
    let restarting = ServerMode::Warm { restart_for_timeline: true };
    for following in [Following::Possible, Following::BaseCopy] {
        let mut policy =
            StandbyPolicy::new("000000010000000C00000099".parse().unwrap(), restarting);
        let decision = decide(&mut policy, &Order::Wait, &superseded(following), 0);
        let stops = matches!(decision, Decision::Stop(_));
        assert_eq!(stops, following != Following::BaseCopy);
        let advice = segment().problem(&superseded(following)).unwrap();
        assert_eq!(advice.contains("restart the server"), stops, "{advice}");
        assert_eq!(advice.contains("new base copy"), !stops, "{advice}");
    }
}

#[test]
fn fast_is_answered_before_the_archive_is_looked_at() {
    let now = |serve_again| Order::EndNow { serve_again };
    assert_eq!(segment().answers_at_once(&now(false)), Some(GiveUp::EndNow));
    assert_eq!(segment().answers_at_once(&now(true)), None);
    assert_eq!(history().answers_at_once(&now(false)), None);
}

#[test]
fn an_order_to_stop_never_promotes() {
    for found in every_find() {
        let order = Order::Stop("gone".into());
        let decision = decide(&mut segment(), &order, &found, 0);
        assert_eq!(decision, Decision::Stop("gone".into()));
    }
}

fn gap() -> Gap {
    let [missing, found] =
        ["000000010000000C00000099", "000000010000000C0000009A"].map(|name| name.parse().unwrap());
    Gap { missing, found }
}

fn absent(order: Order, seconds: u64) -> Situation {
    let waited = Duration::from_secs(seconds);
    Situation { order, found: Found::Absent, waited, failed_copies: 0 }
}

#[test]
fn a_gap_is_looked_for_from_time_to_time_and_reported() {
    let mut policy = segment();
    let mut looks = Vec::new();
    for second in 0..200 {
        let situation = absent(Order::Wait, second);
        if policy.asks_for_gap(&situation) {
            looks.push(second);
            policy.note_gap(Some(gap()), &situation);
        }
    }
    assert_eq!(looks, [5, 65, 125, 185]);
    let problem = policy.problem(&Found::Absent).unwrap();
    let names = "000000010000000C00000099 is missing but 000000010000000C0000009A is here";
    assert!(problem.contains(names), "{problem}");
    // The segment has arrived.
    policy.note_gap(None, &absent(Order::Wait, 250));
    assert_eq!(policy.problem(&Found::Absent), None);
    assert!(!history().asks_for_gap(&absent(Order::Wait, 100)));
}

#[test]
fn a_gap_is_looked_for_before_each_answer_that_may_be_the_last() {
    assert!(standby().asks_for_gap(&absent(Order::Wait, 60)));
    let short = ServerMode::Standby { wait_limit: Duration::ZERO, follows_latest: true };
    let mut policy = StandbyPolicy::new("000000010000000C00000099".parse().unwrap(), short);
    assert!(policy.asks_for_gap(&absent(Order::Wait, 0)));
    policy.note_gap(Some(gap()), &absent(Order::Wait, 0));
    let decision = policy.decide(&absent(Order::Wait, 0));
    assert_eq!(decision, Decision::GiveUp(GiveUp::NotYet));
    assert!(policy.reminder.is_some_and(|(about, _)| about.contains("is missing but")));

    assert!(segment().asks_for_gap(&absent(Order::EndWhenAbsent, 0)));
    for serve_again in [true, false] {
        let fast = absent(Order::EndNow { serve_again }, 100);
        assert!(!segment().asks_for_gap(&fast), "a fast trigger does not wait for a listing");
    }
    let reported = segment().with_gap_reported();
    assert!(!reported.asks_for_gap(&absent(Order::EndWhenAbsent, 0)), "it was reported before");
}

#[test]
fn a_gap_does_not_delay_a_failover() {
    let mut policy = segment();
    let situation = absent(Order::EndWhenAbsent, 0);
    policy.note_gap(Some(gap()), &situation);
    assert_eq!(policy.decide(&situation), Decision::GiveUp(GiveUp::EndWhenAbsent));
}

#[test]
fn the_message_about_a_damaged_segment_names_where_a_sound_copy_may_be() {
    let why = || "its WAL ends at 0/5000128".to_owned();
    for found in [Found::Damaged(why()), Found::NotThatFile(why()), Found::TooLarge { bytes: 9 }] {
        let problem = segment().problem(&found).unwrap();
        for place in ["pg_wal", "pg_xlog", "DR node's archive", ".corrupt"] {
            assert!(problem.contains(place), "{problem}");
        }
    }
}
