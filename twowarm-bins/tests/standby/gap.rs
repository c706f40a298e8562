use std::fs;
use std::path::PathBuf;

use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, names, succeeds};

/// A pair whose standby is down and has not replayed the segments of these names, which have arrived.
fn pair_behind(mode: &str) -> (Pair, Vec<String>) {
    let pair = Pair::with_standby_in(mode);
    pair.db2.stop(StopMode::Fast).unwrap();
    let before = names(&pair.db2.archive());
    for table in ["second", "third"] {
        pair.fill(table, 10);
        pair.ship();
    }
    let arrived = names(&pair.db2.archive()).into_iter();
    let arrived = arrived.filter(|name| name.len() == 24 && !before.contains(name)).collect();
    (pair, arrived)
}

/// A pair whose standby lacks a segment although the next one has arrived. Returns both names, and where the
/// missing segment has been moved to.
fn pair_with_gap(mode: &str) -> (Pair, [String; 2], PathBuf) {
    let (pair, arrived) = pair_behind(mode);
    let (missing, found) = (arrived[0].clone(), arrived[1].clone());
    let aside = pair.db2.home().join(&missing);
    fs::rename(pair.db2.archive().join(&missing), &aside).unwrap();
    (pair, [missing, found], aside)
}

/// Regression: segment 7B had arrived, 7A had not, and the failover gave no warning.
#[test]
fn a_smart_failover_past_a_gap_is_refused_until_the_gap_is_accepted() {
    let (pair, [missing, found], aside) = pair_with_gap("warm");
    let trigger = pair.db2.pgdata().join("trigger");
    let named = format!("{missing} is missing but {found} is here");
    // While the server is down, and while it runs.
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains(&named) && said.contains("--accept-gap"), "{said}");
    pair.db2.start_warm().unwrap();
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains(&named) && said.contains("pg_wal"), "{said}");
    assert!(!trigger.exists());

    // restoreWALFile also reports the gap while it waits.
    wait_until("the gap to be reported", LIMIT, || pair.db2.log().contains(&named))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
    assert!(pair.db2.log().contains(&format!("still waiting for {missing}")));

    let mut accepting = pair.db2.command("triggerStandby");
    accepting.arg("--accept-gap");
    let output = accepting.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("WARNING") && said.contains(&named), "{said}");
    assert_eq!(pair.db2.sql("select to_regclass('second')").unwrap(), "");
    let lost = pair.db2.log().lines().filter(|l| l.contains("are not replayed")).count();
    assert_eq!(lost, 1, "{}", pair.db2.relevant_log());
    assert!(aside.exists());
}

#[test]
fn a_fast_failover_past_a_gap_gives_a_warning() {
    let (pair, [missing, found], _) = pair_with_gap("warm");
    let mut fast = pair.db2.command("triggerStandby");
    fast.arg("fast");
    let output = fast.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("WARNING") && said.contains(&missing) && said.contains(&found), "{said}");
    assert_eq!(fs::read_to_string(pair.db2.pgdata().join("trigger")).unwrap(), "fast\n");
}

/// In standby mode a call waits for a limited time only, and reports the gap before it answers.
#[test]
fn a_trigger_made_by_hand_is_obeyed_with_a_warning_in_the_servers_log() {
    let (pair, [missing, found], _) = pair_with_gap("standby");
    let settings = "[restore]\nwait_limit = 1";
    pair.db2.append_settings(settings).unwrap();
    pair.db2.start_warm().unwrap();
    let named = format!("{missing} is missing but {found} is here");
    wait_until("the gap to be reported", LIMIT, || pair.db2.log().contains(&named))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
    pair.db2.run_as().write(&pair.db2.pgdata().join("trigger"), "").unwrap();
    let open = || pair.db2.is_in_recovery().is_ok_and(|recovering| !recovering);
    wait_until("the server to open", LIMIT, open).unwrap();
    let lost = pair.db2.log().lines().filter(|l| l.contains("are not replayed")).count();
    assert_eq!(lost, 1, "{}", pair.db2.relevant_log());
}

/// A segment that arrives in time leaves no gap, and one that the server has replayed is not missing.
#[test]
fn a_filled_gap_does_not_stop_a_failover() {
    let (pair, [missing, _], aside) = pair_with_gap("warm");
    pair.db2.start_warm().unwrap();
    fails(pair.db2.command("triggerStandby"), 1);
    fs::rename(aside, pair.db2.archive().join(missing)).unwrap();
    succeeds(pair.db2.command("triggerStandby"));
    assert_eq!(pair.db2.sql("select count(*) from third").unwrap(), "10");
}

/// Regression: a damaged segment before complete ones had no warning, and the failover lost their WAL.
#[test]
fn a_smart_failover_past_a_damaged_segment_is_refused_until_the_loss_is_accepted() {
    let (pair, arrived) = pair_behind("warm");
    let place = |name: &str| pair.db2.archive().join(name);
    let trigger = pair.db2.pgdata().join("trigger");
    let (first, later) = (&arrived[0], &arrived[1]);
    let content = fs::read(place(first)).unwrap();
    let mut flipped = content.clone();
    flipped[80] ^= 1;
    let named = format!("{first} cannot be replayed");
    let truncated = &content[..content.len() / 2];
    for damaged in [&fs::read(place(later)).unwrap()[..], truncated, &flipped] {
        fs::write(place(first), damaged).unwrap();
        let said = fails(pair.db2.command("triggerStandby"), 1);
        assert!(said.contains(&named) && said.contains("--accept-gap"), "{said}");
        assert!(said.contains(&format!("but {later} is here")), "{said}");
        assert!(!trigger.exists());
    }
    // Nothing is lost by damage to the last one.
    let last = arrived.last().unwrap();
    let last_content = fs::read(place(last)).unwrap();
    fs::write(place(first), &content).unwrap();
    fs::write(place(last), &last_content[..last_content.len() / 2]).unwrap();
    let mut without_waiting = pair.db2.command("triggerStandby");
    without_waiting.arg("--no-wait");
    succeeds(without_waiting);
    fs::remove_file(&trigger).unwrap();
    fs::write(place(last), last_content).unwrap();

    fs::write(place(first), flipped).unwrap();
    pair.db2.start_warm().unwrap();
    let waits = format!("still waiting for {first}");
    wait_until("the damage to be reported", LIMIT, || pair.db2.log().contains(&waits))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains(&named), "{said}");
    let mut accepting = pair.db2.command("triggerStandby");
    accepting.arg("--accept-gap");
    let output = accepting.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("WARNING") && said.contains(&named), "{said}");
    assert_eq!(pair.db2.sql("select to_regclass('second')").unwrap(), "");
}
