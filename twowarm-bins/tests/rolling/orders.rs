use std::fs;

use twowarm_core::testbed::wait_until;

use crate::pair::{LIMIT, Pair, replace};

/// One command of one node.
type Step = (u8, &'static str);

/// The order that the manual gives.
const MANUAL: [Step; 7] = [
    (2, "receiveWALFile"),
    (2, "pg_standby"),
    (2, "configSetup"),
    (2, "restoreWALFile"),
    (2, "triggerStandby"),
    (1, "configSetup"),
    (1, "archiveWALFile"),
];

/// Carries out the steps on a new pair. After each step WAL arrives, or the primary keeps it and its log says what to
/// do.
fn roll(steps: &[Step]) {
    let mut pair = Pair::new();
    pair.own_scripts_work();
    let mut done = Vec::new();
    for step in steps {
        let node = if step.0 == 1 { &pair.db1 } else { &pair.db2 };
        replace(node, step.1);
        done.push(*step);
        let ships = done.contains(&(1, "archiveWALFile"));
        if ships && !done.contains(&(2, "receiveWALFile")) {
            is_kept(&mut pair);
        } else {
            pair.flows();
        }
        pair.own_scripts_work();
    }
    fails_over(&mut pair);
}

/// Asserts that all rows are on the standby, and still are when it is promoted.
fn fails_over(pair: &mut Pair) {
    pair.arrives();
    assert!(pair.db2.is_in_recovery().unwrap());
    let rows = pair.rows;
    pair.db1.stop(twowarm_core::testbed::StopMode::Fast).unwrap();
    let mut trigger = pair.db2.command("triggerStandby");
    twowarm_core::testbed::finish(&mut trigger).unwrap();
    assert!(!pair.db2.is_in_recovery().unwrap());
    assert_eq!(pair.seen(), Some(rows));
}

/// Asserts that the primary keeps what it can't ship, and logs in which order to replace the scripts.
fn is_kept(pair: &mut Pair) {
    pair.write();
    let order = "on the standby receiveWALFile, pg_standby, restoreWALFile and triggerStandby, then archiveWALFile on the primary";
    wait_until("the primary to log what to do", LIMIT, || pair.db1.log().contains(order)).unwrap();
    assert_ne!(pair.seen(), Some(pair.rows));
}

#[test]
fn the_manual_s_order() {
    roll(&MANUAL);
}

#[test]
fn the_manual_s_order_reversed() {
    let mut steps = MANUAL;
    steps.reverse();
    roll(&steps);
}

#[test]
fn the_primary_first() {
    let mut steps = MANUAL;
    steps.rotate_left(5);
    roll(&steps);
}

#[test]
fn what_is_sourced_last() {
    let mut steps = MANUAL;
    // restoreWALFile and triggerStandby, the primary's two, then receiveWALFile, pg_standby and configSetup.
    steps.rotate_left(3);
    steps.swap(2, 3);
    roll(&steps);
}

/// With rsync as carrier archiveWALFile can be replaced before anything on the standby is.
#[test]
fn the_primary_first_by_rsync() {
    let mut pair = Pair::new();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let archive = pair.db2.archive().display().to_string();
    let section = format!("[node.db2]\ncarrier = \"rsync\"\narchive = \"{archive}\"\n");
    pair.db1.write_local("2warm.toml", settings.replace("[node.db2]\n", &section)).unwrap();
    let (standby, primary) = MANUAL.split_at(5);
    for step in primary.iter().chain(standby) {
        let node = if step.0 == 1 { &pair.db1 } else { &pair.db2 };
        replace(node, step.1);
        pair.flows();
        pair.own_scripts_work();
    }
    assert!(!pair.db2.archive().join(".owner").exists());
    // From now on by receiveWALFile.
    pair.db1.write_local("2warm.toml", settings).unwrap();
    pair.flows();
    assert!(pair.db2.archive().join(".owner").exists());
    fails_over(&mut pair);
}
