//! restoreWALFile as the restore_command of real servers: replay, restart, each way to fail over, and accidents
//! that must not cause a failover.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{BedError, LIMIT, StopMode, WarmPair, restoring_pair, wait_until};

/// The archive's segments, in order.
fn archived(pair: &WarmPair) -> Vec<PathBuf> {
    pair.archived().iter().map(|name| pair.standby.archive().join(name)).collect()
}

fn trigger(pair: &WarmPair, content: &str) -> Result<(), BedError> {
    pair.standby.run_as().write(&pair.standby.pgdata().join("trigger"), content)
}

/// Removes the trigger file after a failover, and restarts the new primary.
fn restarts_with(pair: &WarmPair, batches: u32) -> Result<(), BedError> {
    let _ = fs::remove_file(pair.standby.pgdata().join("trigger"));
    pair.standby.stop(StopMode::Fast)?;
    pair.standby.start()?;
    pair.promoted_with(batches)
}

#[test]
fn fails_over_smart() -> Result<(), BedError> {
    let pair = restoring_pair(false, &[])?;
    pair.replay_with_a_restart()?;
    trigger(&pair, "smart")?;
    pair.promoted_with(7)?;
    restarts_with(&pair, 7)
}

#[test]
fn fails_over_fast() -> Result<(), BedError> {
    let pair = restoring_pair(true, &[])?;
    pair.replay_with_a_restart()?;
    trigger(&pair, "fast")?;
    pair.promoted_with(7)?;
    let log = pair.standby.log();
    assert!(log.contains("recovery ends before"), "{log}");
    restarts_with(&pair, 7)
}

/// A fast failover ignores segments that have arrived and were not replayed.
#[test]
fn fails_over_fast_before_a_segment_that_is_there() -> Result<(), BedError> {
    let pair = restoring_pair(false, &[])?;
    pair.ship(1..=2)?;
    pair.standby.start_warm()?;
    pair.caught_up()?;
    pair.standby.stop(StopMode::Fast)?;
    pair.ship(3..=5)?;
    trigger(&pair, "fast")?;
    pair.standby.start_warm()?;
    pair.promoted_with(2)?;
    restarts_with(&pair, 2)
}

#[test]
fn fails_over_by_pg_ctl_promote() -> Result<(), BedError> {
    let pair = restoring_pair(true, &[])?;
    pair.replay_with_a_restart()?;
    pair.standby.pg_ctl(&["promote", "-w"])?;
    pair.promoted_with(7)?;
    restarts_with(&pair, 7)
}

/// The standby does not replay a damaged segment, and continues when a sound one arrives.
#[test]
fn a_damaged_segment_does_not_promote() -> Result<(), BedError> {
    let pair = restoring_pair(true, &[])?;
    pair.ship(1..=5)?;
    let names = archived(&pair);
    let damaged = &names[names.len() - 2];
    let good = fs::read(damaged).unwrap();
    let mut bad = good.clone();
    // In the first record.
    bad[60] ^= 4;
    pair.standby.run_as().write(damaged, bad)?;
    pair.standby.start_warm()?;
    pair.standby.wait_for_log("still waiting for")?;
    pair.not_promoted()?;
    pair.standby.run_as().write(damaged, good)?;
    pair.caught_up()?;
    pair.not_promoted()?;
    trigger(&pair, "")?;
    pair.promoted_with(5)
}

/// Damage at the end of a segment, in a record that continues in the next one.
#[test]
fn a_damaged_record_between_two_segments_does_not_promote() -> Result<(), BedError> {
    let pair = restoring_pair(false, &[])?;
    let rows = "select repeat(md5(i::text), 30) from generate_series(1, 40000) i";
    pair.primary.sql(&format!("create table large as {rows}"))?;
    pair.ship(1..=2)?;
    let continues = |file: &PathBuf| fs::read(file).unwrap()[2] & 1 != 0;
    let names = archived(&pair);
    let next = names.iter().rposition(continues).expect("a record is longer than its segment");
    let good = fs::read(&names[next - 1]).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    pair.standby.run_as().write(&names[next - 1], bad)?;
    pair.standby.start_warm()?;
    pair.standby.wait_for_log("as it crosses from")?;
    pair.standby.run_as().write(&names[next - 1], good)?;
    pair.not_promoted()?;
    pair.standby.stop(StopMode::Fast)?;
    pair.standby.start_warm()?;
    pair.caught_up()?;
    pair.not_promoted()?;
    trigger(&pair, "smart")?;
    pair.promoted_with(2)?;
    assert_eq!(pair.standby.sql("select count(*) from large").unwrap(), "40000");
    Ok(())
}

/// A restoreWALFile that outlives its server would prevent the next start.
#[test]
fn a_killed_server_starts_again() -> Result<(), BedError> {
    let pair = restoring_pair(false, &[])?;
    pair.ship(1..=2)?;
    pair.standby.start_warm()?;
    pair.caught_up()?;
    pair.standby.kill()?;
    let gone = || !pair.standby.runs("restoreWALFile");
    wait_until("restoreWALFile to end", Duration::from_secs(20), gone)?;
    pair.ship(3..=3)?;
    // A start fails until the processes of the killed server have ended.
    wait_until("the server to start again", LIMIT, || pair.standby.start_warm().is_ok())?;
    pair.caught_up()?;
    pair.not_promoted()?;
    trigger(&pair, "smart")?;
    pair.promoted_with(3)
}
