//! Real servers on pg_standby alone: replay, a restart in between, each way to fail over, and a server
//! that is killed.
//!
//! They run on the PostgreSQL that the testbed finds; `make test-matrix` runs them on others.

mod support;

use support::{LIMIT, Pair};
use twowarm_core::testbed::{StopMode, wait_until};

/// Long, so that only an event can have ended a wait within the tests' limits.
const LONG_POLL: &str = "-s 60";

#[test]
fn fails_over_smart() {
    let pair = Pair::new(false, LONG_POLL);
    pair.replay_with_a_restart();
    pair.trigger("smart\n");
    pair.assert_promoted_with(7);
    assert_eq!(pair.trigger_content(), "smart\n");
}

#[test]
fn fails_over_smart_after_all_that_has_arrived() {
    let pair = Pair::new(true, "");
    pair.ship(1..=2);
    pair.standby.start_warm().expect("a warm standby");
    pair.caught_up();
    pair.standby.stop(StopMode::Fast).expect("it stops while it waits");
    pair.ship(3..=5);
    pair.trigger("");
    pair.standby.start_warm().expect("it starts again");
    pair.assert_promoted_with(5);
}

#[test]
fn fails_over_fast() {
    let pair = Pair::new(true, LONG_POLL);
    pair.replay_with_a_restart();
    let next = pair.next();
    pair.trigger("fast");
    pair.assert_promoted_with(7);
    pair.assert_fast_trigger_became(&next);
}

/// A fast failover leaves out what has arrived, also from 15 on, where the server asks twice for the
/// segment that it was refused.
#[test]
fn fails_over_fast_before_a_segment_that_is_there() {
    let pair = Pair::new(false, "-d");
    pair.ship(1..=2);
    let next = pair.next();
    pair.ship(3..=5);
    let back = pair.hold_back(&next);
    pair.standby.start_warm().expect("a warm standby");
    wait_until("the standby to wait", LIMIT, || pair.waits_for(&next)).expect("it waits");
    pair.standby_says("WAL file not present yet");
    pair.trigger("fast");
    pair.standby_says("fast failover");
    back();
    pair.assert_promoted_with(2);
    pair.assert_fast_trigger_became(&next);
}

#[test]
fn fails_over_by_pg_ctl_promote() {
    let pair = Pair::new(true, LONG_POLL);
    if !pair.major().has_standby_mode_promotion() {
        // Before 9.1 pg_ctl has no such word.
        assert!(pair.pg_ctl(&["promote"]).is_err());
        return;
    }
    pair.replay_with_a_restart();
    pair.pg_ctl(&["promote", "-w"]).expect("pg_ctl promotes");
    pair.assert_promoted_with(7);
}

/// A pg_standby that outlived its server would keep the next one from starting.
#[test]
fn a_killed_server_starts_again() {
    let pair = Pair::new(false, LONG_POLL);
    pair.ship(1..=2);
    pair.standby.start_warm().expect("a warm standby");
    pair.caught_up();
    pair.standby.kill().expect("a server to kill");
    let gone = || !pair.standby.runs("pg_standby");
    wait_until("pg_standby to end", std::time::Duration::from_secs(10), gone).expect("it ends");
    pair.ship(3..=3);
    // The children of the killed one may need a moment.
    wait_until("the server to start again", LIMIT, || pair.standby.start_warm().is_ok())
        .expect("it starts");
    pair.caught_up();
    pair.assert_not_promoted();
    pair.trigger("");
    pair.assert_promoted_with(3);
}
