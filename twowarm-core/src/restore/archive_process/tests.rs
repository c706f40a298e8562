use std::cell::Cell;

use super::*;

struct Ordered(Order);

impl RecoveryOrders for Ordered {
    fn look(&mut self, _clock: &dyn Clock) -> Order {
        self.0.clone()
    }
}

fn limits(question: u64, not_yet: Option<u64>) -> Limits {
    let [question, tick] = [question, 10].map(Duration::from_millis);
    Limits { question, not_yet: not_yet.map(Duration::from_millis), tick }
}

/// A script's standard input is its connection to its parent.
fn ended(script: &str, order: Order, limits: Limits, progress: &dyn Fn() -> u64) -> Ended {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    let process = ArchiveProcess::start(command).unwrap();
    process.wait(progress, &mut Ordered(order), limits).unwrap()
}

fn hung(order: Order, limits: Limits) -> Outcome {
    match ended("echo asking >&0; exec sleep 600", order, limits, &|| 0) {
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

const SLOW: &str = "echo asking >&0; sleep 0.5; echo answered >&0; echo restored >&0";

#[test]
fn a_failover_leaves_a_hung_archive_behind() {
    let unavailable = Outcome::GaveUp(GiveUp::ArchiveUnavailable);
    assert_eq!(hung(Order::EndWhenAbsent, limits(50, None)), unavailable);
    assert_eq!(hung(Order::EndNow { serve_again: true }, limits(50, None)), unavailable);
    let gone = Order::Stop("gone".into());
    assert_eq!(hung(gone, limits(50, None)), Outcome::Stopped("gone".into()));
}

#[test]
fn untriggered_a_hung_archive_is_waited_for_and_in_standby_mode_not_yet_there() {
    assert_eq!(answered(SLOW, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
    let not_yet = hung(Order::Wait, limits(50, Some(100)));
    assert_eq!(not_yet, Outcome::GaveUp(GiveUp::NotYet));
}

#[test]
fn a_slow_copy_is_not_abandoned_while_it_proceeds() {
    let copied = Cell::new(0);
    let grows = || copied.replace(copied.get() + 1);
    let outcome = answered(SLOW, Order::EndWhenAbsent, limits(200, None), &grows);
    assert_eq!(outcome, Outcome::Restored);
}

#[test]
fn the_answer_does_not_wait_for_pruning() {
    let started = Instant::now();
    let script = "echo restored >&0; exec sleep 600 <&- 2>&-";
    assert_eq!(answered(script, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
    let script = "echo restored >&0; exec sleep 600";
    assert_eq!(answered(script, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
    assert!(started.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_child_that_dies_gives_no_answer() {
    let died = ended("echo asking >&0; exit 7", Order::Wait, limits(50, None), &|| 0);
    assert!(matches!(died, Ended::Died(status) if status.code() == Some(7)));
}

#[test]
fn what_the_child_prints_is_not_a_message() {
    let script = "echo exit 7; echo restored >&0";
    assert_eq!(answered(script, Order::Wait, limits(50, None), &|| 0), Outcome::Restored);
}
