use std::fs;

use twowarm_core::testbed::{Node, StopMode};

use crate::pair::{Pair, set_mode, succeeds, wait_for_rows};
use crate::switching::{can_rejoin, certified, flush, rejoin, ship, switch_over, trigger};

fn pair(mode: &str) -> Pair {
    let pair = Pair::new();
    set_mode(&pair.db1, mode);
    set_mode(&pair.db2, mode);
    pair.fill("first", 1000);
    pair.make_standby();
    pair
}

fn count(node: &Node) -> String {
    node.sql("select count(*) from rows").unwrap()
}

fn switches_back_and_forth(mode: &str, times: u32) {
    let pair = pair(mode);
    if !can_rejoin(&pair) {
        return;
    }
    pair.db1.sql("create table rows (turn int, node text)").unwrap();
    let (mut primary, mut standby) = (&pair.db1, &pair.db2);
    for turn in 1..=times {
        let rows = format!(
            "insert into rows select {turn}, '{}' from generate_series(1, 100)",
            primary.name()
        );
        primary.sql(&rows).unwrap();
        let took = switch_over(primary, standby);
        println!("{mode}, turn {turn}: rejoined in {:.2} s", took.as_secs_f64());
        (primary, standby) = (standby, primary);
        assert_eq!(count(primary), (100 * turn).to_string());
        assert_eq!(primary.timeline().unwrap(), turn + 1);
        ship(primary, standby);
        wait_for_rows(standby, "rows", 100 * turn);
    }
    let active = standby.local().join("replication/archiving_active");
    assert!(!active.exists());
}

#[test]
fn an_old_primary_rejoins_and_becomes_primary_again_in_standby_mode() {
    switches_back_and_forth("standby", 4);
}

#[test]
fn an_old_primary_rejoins_and_becomes_primary_again_in_warm_mode() {
    switches_back_and_forth("warm", 3);
}

/// The history has not arrived yet if the old primary has no archive.
#[test]
fn the_history_is_fetched_from_the_new_primary() {
    let pair = pair("standby");
    if !can_rejoin(&pair) {
        return;
    }
    flush(&pair.db1, &pair.db2);
    succeeds(trigger(&pair.db2, &["--require-receipt"]));
    assert!(!pair.db1.archive().exists());
    let said = succeeds(rejoin(&pair.db1));
    assert!(said.contains("Fetched 00000002.history from db2"), "{said}");
    pair.db1.start_warm().unwrap();
    pair.db2.sql("create table after_it as select generate_series(1, 5)").unwrap();
    ship(&pair.db2, &pair.db1);
    wait_for_rows(&pair.db1, "after_it", 5);
    certified(&pair.db1);
}

#[test]
fn an_interrupted_rejoin_is_completed_by_the_next() {
    let pair = pair("standby");
    if !can_rejoin(&pair) {
        return;
    }
    let receipt = flush(&pair.db1, &pair.db2);
    succeeds(trigger(&pair.db2, &[]));
    let db1 = &pair.db1;
    let in_file = !db1.install().major().unwrap().has_recovery_signal();
    let signal = db1.pgdata().join(if in_file { "recovery.conf" } else { "standby.signal" });
    let begun = db1.pgdata().join(".twowarm_rejoin");
    let active = db1.local().join("replication/archiving_active");
    db1.run_as().write(&db1.pgdata().join("trigger"), "smart\n").unwrap();
    // Before the recovery settings are written, and after.
    db1.run_as().write(&begun, format!("{}\n", receipt.id)).unwrap();
    let said = succeeds(rejoin(db1));
    assert!(said.contains("Completing"), "{said}");
    assert!(signal.exists() && !begun.exists() && !active.exists());
    assert!(!db1.pgdata().join("trigger").exists());
    db1.run_as().write(&begun, format!("{}\n", receipt.id)).unwrap();
    let settings = if in_file { "recovery.conf" } else { "postgresql.auto.conf" };
    db1.run_as().write(&db1.pgdata().join(settings), "").unwrap();
    db1.run_as().write(&active, "").unwrap();
    succeeds(rejoin(db1));
    assert!(!begun.exists() && !active.exists());
    let settings = fs::read_to_string(db1.pgdata().join(settings)).unwrap();
    assert!(settings.contains("restoreWALFile"), "{settings}");
    // The server was started although the first run was interrupted.
    db1.run_as().write(&begun, format!("{}\n", receipt.id)).unwrap();
    db1.run_as().write(&active, "").unwrap();
    db1.start_warm().unwrap();
    ship(&pair.db2, db1);
    db1.stop(StopMode::Fast).unwrap();
    succeeds(rejoin(db1));
    assert!(!begun.exists() && !active.exists());
    db1.start_warm().unwrap();
    pair.db2.sql("create table after_it as select generate_series(1, 5)").unwrap();
    ship(&pair.db2, db1);
    wait_for_rows(db1, "after_it", 5);
}
