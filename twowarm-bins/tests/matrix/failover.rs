use std::fs;

use twowarm_core::testbed::{Node, StopMode};

use crate::mode::{Mode, wait_until_writable};
use crate::pair::{Pair, succeeds};

/// A standby that has replayed the load, with a restart in between, and has lost its primary.
fn loaded(mode: Mode) -> Pair {
    let pair = mode.pair();
    pair.fill("second", 2000);
    pair.ship();
    pair.wait_for_rows("second", 2000);
    pair.db2.stop(StopMode::Fast).unwrap();
    pair.fill("third", 3000);
    pair.ship();
    pair.db2.start_warm().unwrap();
    pair.fill("fourth", 4000);
    pair.ship();
    pair.wait_for_rows("fourth", 4000);
    assert!(pair.db2.is_in_recovery().unwrap());
    pair.db1.stop(StopMode::Immediate).unwrap();
    pair
}

/// Asserts that db2 takes writes and has every row, on a new timeline (8.3 on), before and after a restart.
fn assert_promoted(pair: &Pair) {
    wait_until_writable(&pair.db2);
    let major = pair.db2.install().major().unwrap();
    let expected = if major.promotes_to_new_timeline() { 2 } else { 1 };
    for _ in 0..2 {
        assert_eq!(pair.db2.timeline().unwrap(), expected);
        for (table, rows) in [("first", 1000), ("second", 2000), ("third", 3000), ("fourth", 4000)]
        {
            pair.wait_for_rows(table, rows);
        }
        assert!(!pair.db2.is_in_recovery().unwrap());
        pair.db2.stop(StopMode::Fast).unwrap();
        pair.db2.start().unwrap();
    }
}

fn in_each_mode(promote: impl Fn(&Node)) {
    for &mode in Mode::all() {
        let pair = loaded(mode);
        promote(&pair.db2);
        assert_promoted(&pair);
    }
}

#[test]
fn trigger_standby_smart() {
    in_each_mode(|db2| {
        let said = succeeds(db2.command("triggerStandby"));
        assert!(said.contains("s from trigger to a committed write"), "{said}");
        assert!(!db2.pgdata().join("trigger").exists());
    });
}

#[test]
fn trigger_standby_fast() {
    in_each_mode(|db2| {
        let mut command = db2.command("triggerStandby");
        command.arg("fast");
        succeeds(command);
        assert!(!db2.pgdata().join("trigger").exists());
    });
}

/// As in the runbooks of 2010: `touch trigger`.
#[test]
fn a_trigger_file_alone() {
    in_each_mode(|db2| {
        let trigger = db2.pgdata().join("trigger");
        db2.run_as().write(&trigger, "").unwrap();
        wait_until_writable(db2);
        let _ = fs::remove_file(trigger);
    });
}

#[test]
fn a_fast_trigger_file_alone() {
    in_each_mode(|db2| {
        let trigger = db2.pgdata().join("trigger");
        let aside = db2.pgdata().join("trigger.new");
        db2.run_as().write(&aside, "fast\n").unwrap();
        fs::rename(aside, &trigger).unwrap();
        wait_until_writable(db2);
        let _ = fs::remove_file(trigger);
    });
}

/// From 9.1 on.
#[test]
fn pg_ctl_promote() {
    in_each_mode(|db2| {
        if !db2.install().major().unwrap().has_standby_mode_promotion() {
            succeeds(db2.command("triggerStandby"));
            return;
        }
        db2.pg_ctl(&["promote", "-w", "-t", "60"]).unwrap();
    });
}

/// From 12 on.
#[test]
fn sql_function_pg_promote() {
    in_each_mode(|db2| {
        if db2.install().major().unwrap().has_promote_function() {
            assert_eq!(db2.sql("select pg_promote(true, 60)").unwrap(), "t");
        } else {
            succeeds(db2.command("triggerStandby"));
        }
    });
}
