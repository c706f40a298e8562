use std::fs;

use twowarm_core::testbed::{COMMANDS, Node, StopMode};

use crate::pair::{Pair, make_empty, names, set_mode, succeeds, wait_for_rows};
use crate::switching::{certified, ship, trigger};

/// Copies the segments that a node's archive lacks from another one's.
fn hand_on(from: &Node, to: &Node) {
    for name in names(&from.archive()).iter().filter(|name| name.len() == 24) {
        let place = to.archive().join(name);
        if place.exists() {
            continue;
        }
        // One that its own standby has replayed may be removed meanwhile.
        if let Ok(content) = fs::read(from.archive().join(name)) {
            to.run_as().write(&place, content).unwrap();
        }
    }
}

/// Timelines 1, 2 and 3, all of which a third node follows: in standby mode (from 9.1 on) without a restart.
#[test]
fn a_third_node_follows_two_failovers() {
    let pair = Pair::new();
    let (db1, db2) = (&pair.db1, &pair.db2);
    if !db1.install().major().unwrap().promotes_to_new_timeline() {
        return;
    }
    let mut db3 = db1.testbed().node("db3").unwrap();
    db3.start_sshd().unwrap();
    db3.install_commands(env!("CARGO_BIN_EXE_sendWALFile"), &COMMANDS).unwrap();
    set_mode(db2, "standby");
    set_mode(&db3, "standby");
    make_empty(&db3);
    pair.fill("first", 100);
    pair.make_standby();
    // A base copy of db1 on db3, to which db2 ships after its promotion.
    db1.reach(&db3).unwrap();
    db3.reach(db1).unwrap();
    succeeds(db3.command("configStandby"));
    succeeds(db1.command("copyToStandby"));
    // Meanwhile db1 shipped to db3 only. Later db3 removes what it has replayed.
    hand_on(&db3, db2);
    db3.start_warm().unwrap();
    db1.write_local("replication/othernode", "db2\n").unwrap();
    db2.reach(&db3).unwrap();
    db2.write_local("replication/othernode", "db1\n").unwrap();
    db2.write_local("replication/drnode", "db3\n").unwrap();
    db3.write_local("replication/othernode", "db2\n").unwrap();
    // db1's WAL reaches both.
    db1.sql("create table second as select generate_series(1, 10) as n").unwrap();
    ship(db1, db2);
    hand_on(db2, &db3);
    wait_for_rows(&db3, "second", 10);
    db1.stop(StopMode::Immediate).unwrap();
    db1.write_local("replication/othernode", "").unwrap();

    let said = succeeds(trigger(db2, &[]));
    assert!(said.contains("shipped to the DR node"), "{said}");
    db2.sql("create table third as select generate_series(1, 20) as n").unwrap();
    ship(db2, &db3);
    if !db3.install().major().unwrap().has_standby_mode_promotion() {
        db3.stop(StopMode::Fast).unwrap();
        db3.start_warm().unwrap();
    }
    wait_for_rows(&db3, "third", 20);
    // Older servers do not keep a restored history file in their WAL directory.
    let keeps_history = db3.install().major().unwrap().names_unfinished_segments();
    assert!(!keeps_history || db3.timeline().unwrap() == 2);
    certified(&db3);

    db2.stop(StopMode::Immediate).unwrap();
    db3.write_local("replication/drnode", "").unwrap();
    succeeds(trigger(&db3, &[]));
    assert_eq!(db3.timeline().unwrap(), 3);
    assert_eq!(db3.sql("select count(*) from third").unwrap(), "20");
    certified(&db3);
}
