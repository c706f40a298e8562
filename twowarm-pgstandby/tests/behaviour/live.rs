//! pg_standby as the restore_command of real servers: replay, a restart, each way to fail over, and a server that is
//! killed.
//!
//! They run on the PostgreSQL that the testbed finds; `make test-matrix` runs them on others.

use crate::support::{BedError, LIMIT, Pair, StopMode, wait_until};

/// A polling interval so long that only an event can end a wait within the limits of these tests.
const LONG_POLL: &str = "-s 60";

#[test]
fn fails_over_smart() -> Result<(), BedError> {
    let pair = Pair::new(false, LONG_POLL)?;
    pair.replay_with_a_restart()?;
    pair.trigger("smart\n")?;
    pair.promoted_with(7)?;
    assert_eq!(pair.trigger_content(), "smart\n");
    Ok(())
}

#[test]
fn fails_over_smart_after_all_that_has_arrived() -> Result<(), BedError> {
    let pair = Pair::new(true, "")?;
    pair.ship(1..=2)?;
    pair.standby.start_warm()?;
    pair.caught_up()?;
    pair.standby.stop(StopMode::Fast)?;
    pair.ship(3..=5)?;
    pair.trigger("")?;
    pair.standby.start_warm()?;
    pair.promoted_with(5)
}

#[test]
fn fails_over_fast() -> Result<(), BedError> {
    let pair = Pair::new(true, LONG_POLL)?;
    pair.replay_with_a_restart()?;
    let next = pair.next();
    pair.trigger("fast")?;
    pair.promoted_with(7)?;
    pair.assert_fast_trigger_became(&next);
    Ok(())
}

/// A fast failover ignores a segment that arrives after it was refused. Servers from 15 on request it again.
#[test]
fn fails_over_fast_before_a_segment_that_is_there() -> Result<(), BedError> {
    let pair = Pair::new(false, "-d")?;
    pair.ship(1..=2)?;
    let next = pair.next();
    pair.ship(3..=5)?;
    let back = pair.hold_back(&next);
    pair.standby.start_warm()?;
    wait_until("the standby to wait", LIMIT, || pair.waits_for(&next))?;
    pair.standby.wait_for_log("WAL file not present yet")?;
    pair.trigger("fast")?;
    pair.standby.wait_for_log("fast failover")?;
    back();
    pair.promoted_with(2)?;
    pair.assert_fast_trigger_became(&next);
    Ok(())
}

#[test]
fn fails_over_by_pg_ctl_promote() -> Result<(), BedError> {
    let pair = Pair::new(true, LONG_POLL)?;
    if !pair.major()?.has_standby_mode_promotion() {
        // Before 9.1 pg_ctl can't promote.
        assert!(pair.standby.pg_ctl(&["promote"]).is_err());
        return Ok(());
    }
    pair.replay_with_a_restart()?;
    pair.standby.pg_ctl(&["promote", "-w"])?;
    pair.promoted_with(7)
}

/// A pg_standby that outlives its server would prevent the next start.
#[test]
fn a_killed_server_starts_again() -> Result<(), BedError> {
    let pair = Pair::new(false, LONG_POLL)?;
    pair.ship(1..=2)?;
    pair.standby.start_warm()?;
    pair.caught_up()?;
    pair.standby.kill()?;
    let gone = || !pair.standby.runs("pg_standby");
    wait_until("pg_standby to end", std::time::Duration::from_secs(10), gone)?;
    pair.ship(3..=3)?;
    // A start fails until the processes of the killed server have ended.
    wait_until("the server to start again", LIMIT, || pair.standby.start_warm().is_ok())?;
    pair.caught_up()?;
    pair.not_promoted()?;
    pair.trigger("")?;
    pair.promoted_with(3)
}
