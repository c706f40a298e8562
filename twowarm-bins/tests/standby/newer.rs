//! The commands on a node whose cluster has an unknown, newer version.

use std::fs;

use twowarm_core::testbed::{COMMANDS, NEWER_MAJOR, Node, newer_control};

use crate::pair::{fails, names, node_with, succeeds};

fn newer_node() -> Node {
    let node = node_with(&COMMANDS);
    node.initdb(&[]).unwrap();
    let control = node.pgdata().join("global/pg_control");
    node.run_as().write(&control, newer_control(&fs::read(&control).unwrap())).unwrap();
    node.run_as().write(&node.pgdata().join("PG_VERSION"), format!("{NEWER_MAJOR}\n")).unwrap();
    node
}

#[test]
fn a_newer_primary_is_refused_as_a_standby() {
    let node = newer_node();
    let before = names(&node.pgdata());
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("looks like a primary"), "{said}");
    assert_eq!(names(&node.pgdata()), before);
}

#[test]
fn a_newer_standby_is_configured_and_triggered() {
    let node = newer_node();
    node.run_as().write(&node.pgdata().join("standby.signal"), "").unwrap();
    succeeds(node.command("configStandby"));
    let settings = fs::read_to_string(node.pgdata().join("postgresql.auto.conf")).unwrap();
    assert!(settings.contains("restoreWALFile %f %p %r"), "{settings}");
    assert!(node.pgdata().join("standby.signal").exists());
    let mut trigger = node.command("triggerStandby");
    trigger.arg("--no-wait");
    succeeds(trigger);
    assert_eq!(fs::read_to_string(node.pgdata().join("trigger")).unwrap(), "smart\n");
}
