use std::fs;

use twowarm_core::testbed::{COMMANDS, Node, StopMode};

use crate::pair::{Pair, names, succeeds};
use crate::switching::trigger;

/// A standby that is down, its DR node, and the segments that have arrived on the standby in the meantime.
fn with_dr_node() -> (Pair, Node, Vec<String>) {
    let pair = Pair::with_standby_in("standby");
    let mut db3 = pair.db1.testbed().node("db3").unwrap();
    db3.start_sshd().unwrap();
    db3.install_commands(env!("CARGO_BIN_EXE_sendWALFile"), &COMMANDS).unwrap();
    for directory in [db3.pgdata(), db3.archive()] {
        db3.run_as().make_dir(&directory, 0o700).unwrap();
    }
    pair.db2.reach(&db3).unwrap();
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    pair.db2.write_local("replication/drnode", "db3\n").unwrap();
    pair.db2.stop(StopMode::Fast).unwrap();
    let before = names(&pair.db2.archive());
    for table in ["second", "third"] {
        pair.fill(table, 10);
        pair.ship();
    }
    let arrived = names(&pair.db2.archive()).into_iter();
    let arrived = arrived.filter(|name| name.len() == 24 && !before.contains(name)).collect();
    pair.db1.stop(StopMode::Immediate).unwrap();
    (pair, db3, arrived)
}

fn move_to(node: &Node, from: &Node, name: &str) {
    let content = fs::read(from.archive().join(name)).unwrap();
    fs::remove_file(from.archive().join(name)).unwrap();
    node.run_as().write(&node.archive().join(name), content).unwrap();
}

#[test]
fn what_only_the_dr_node_has_is_fetched_before_the_promotion() {
    let (pair, db3, arrived) = with_dr_node();
    arrived.iter().for_each(|name| move_to(&db3, &pair.db2, name));
    pair.db2.start_warm().unwrap();
    let said = succeeds(trigger(&pair.db2, &[]));
    assert!(arrived.iter().all(|name| pair.db2.archive().join(name).exists()), "{said}");
    assert_eq!(pair.db2.sql("select count(*) from third").unwrap(), "10");
    assert!(said.contains("shipped to the DR node"), "{said}");
}

/// Nothing in the standby's own archive shows that a segment is missing.
#[test]
fn a_missing_segment_is_found_by_what_the_dr_node_has() {
    let (pair, db3, arrived) = with_dr_node();
    arrived.iter().for_each(|name| move_to(&db3, &pair.db2, name));
    let aside = db3.home().join("aside");
    fs::rename(db3.archive().join(&arrived[0]), &aside).unwrap();
    let output = trigger(&pair.db2, &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let named = format!("{} is missing but {} is here", arrived[0], arrived[1]);
    assert!(said.contains(&named), "{said}");
    assert!(!pair.db2.pgdata().join("trigger").exists());
    fs::rename(&aside, db3.archive().join(&arrived[0])).unwrap();
    let said = succeeds(trigger(&pair.db2, &["--no-wait"]));
    assert!(said.contains("Fetched from db3") && said.contains(&arrived[0]), "{said}");
}

#[test]
fn a_dr_node_that_is_down_does_not_prevent_a_failover() {
    let (pair, mut db3, arrived) = with_dr_node();
    db3.sshd().stop();
    fs::remove_file(pair.db2.archive().join(arrived.last().unwrap())).unwrap();
    let output = trigger(&pair.db2, &["--no-wait"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("could not fetch"), "{said}");
    assert!(pair.db2.pgdata().join("trigger").exists());
}
