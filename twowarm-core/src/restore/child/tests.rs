use std::cell::Cell;

use super::*;

struct Ordered(Order);

impl Standing for Ordered {
    fn look(&mut self, _clock: &dyn Clock) -> Order {
        self.0.clone()
    }
}

fn limits(question: u64, not_yet: Option<u64>) -> Limits {
    let [question, tick] = [question, 10].map(Duration::from_millis);
    Limits { question, not_yet: not_yet.map(Duration::from_millis), tick }
}

fn ended(script: &str, order: Order, limits: Limits, progress: &dyn Fn() -> u64) -> Ended {
    let asker = Asker::start(Command::new("/bin/sh").args(["-c", script])).unwrap();
    asker.wait(progress, &mut Ordered(order), limits).unwrap()
}

fn hung(order: Order, limits: Limits) -> Outcome {
    match ended("echo asking; exec sleep 600", order, limits, &|| 0) {
        Ended::Hung(outcome, _) => outcome,
        _ => panic!("it hangs"),
    }
}

fn answered(script: &str, order: Order, limits: Limits, progress: &dyn Fn() -> u64) -> Outcome {
    match ended(script, order, limits, progress) {
        Ended::Answered(outcome) => outcome,
        _ => panic!("it answers"),
    }
}

#[test]
fn a_wanted_failover_leaves_a_hung_archive_behind() {
    let unavailable = Outcome::GaveUp(GiveUp::ArchiveUnavailable);
    assert_eq!(hung(Order::EndWhenAbsent, limits(50, None)), unavailable);
    assert_eq!(hung(Order::EndNow { serve_again: true }, limits(50, None)), unavailable);
    let gone = Order::NobodyWaits("gone".into());
    assert_eq!(hung(gone, limits(50, None)), Outcome::Stopped("gone".into()));
}

#[test]
fn untriggered_a_hung_archive_is_waited_for_and_in_standby_mode_not_yet_there() {
    let script = "echo asking; sleep 0.3; echo answered; echo restored";
    let restored = answered(script, Order::Wait, limits(50, None), &|| 0);
    assert_eq!(restored, Outcome::Restored);
    let not_yet = hung(Order::Wait, limits(50, Some(100)));
    assert_eq!(not_yet, Outcome::GaveUp(GiveUp::NotYet));
}

#[test]
fn a_slow_copy_is_not_given_up_while_it_gets_on() {
    let copied = Cell::new(0);
    let grows = || copied.replace(copied.get() + 1);
    let script = "echo asking; sleep 0.5; echo answered; echo restored";
    let outcome = answered(script, Order::EndWhenAbsent, limits(200, None), &grows);
    assert_eq!(outcome, Outcome::Restored);
}

#[test]
fn the_answer_does_not_wait_for_pruning() {
    let started = Instant::now();
    let script = "echo restored; exec sleep 600 >&- 2>&-";
    assert_eq!(answered(script, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
    let script = "echo restored; exec sleep 600";
    assert_eq!(answered(script, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
    assert!(started.elapsed() < Duration::from_secs(300));
}

#[test]
fn one_that_dies_gives_no_answer() {
    let died = ended("echo asking; exit 7", Order::Wait, limits(50, None), &|| 0);
    assert!(matches!(died, Ended::Died(status) if status.code() == Some(7)));
}

#[test]
fn outcomes_are_read_back() {
    for (_, why) in GIVE_UPS {
        assert_eq!(outcome_of(&text_of(&Outcome::GaveUp(why))), Some(Outcome::GaveUp(why)));
    }
    for outcome in
        [Outcome::Restored, Outcome::Exit(7), Outcome::Stopped("a server is gone".into())]
    {
        assert_eq!(outcome_of(&text_of(&outcome)), Some(outcome));
    }
    assert_eq!(outcome_of("nonsense"), None);
}
