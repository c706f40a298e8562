//! Receipts that a DR node holds while it is down, and a DR node that was promoted.

use std::process::Command;

use twowarm_core::receipt::Receipt;
use twowarm_core::testbed::{LIMIT, Node, StopMode, finish, wait_until};

use crate::site::{fails, run};
use crate::trio::Trio;

fn held(node: &Node) -> Option<Receipt> {
    Receipt::in_archive(&node.archive()).unwrap()
}

/// db1's own copy.
fn copy(trio: &Trio) -> Option<Receipt> {
    Receipt::of_node(&trio.db1.local().join("replication")).unwrap()
}

fn is_up(node: &Node) {
    wait_until("the server to be up", LIMIT, || node.client().is_ok()).unwrap();
}

/// db2 refuses to be promoted.
fn refuse_promotion(trio: &Trio) {
    let text = "#!/bin/sh\nif [ \"$1\" = --check ]; then echo 'The standby in x is running'; exit; fi\necho 'triggerStandby: ERROR: not now' >&2; exit 1\n";
    let place = trio.db2.global().join("replication/triggerStandby");
    let mut write = Command::new("sh");
    write.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\" && mv \"$2\" \"$0\""]);
    finish(write.arg(&place).arg(text).arg(place.with_extension("new"))).unwrap();
}

const WITHOUT: [&str; 3] = ["--wait", "0", "--without-dr"];

/// db1 forgot it, and db3 would have been promoted with it although db1 had committed more.
#[test]
fn a_receipt_that_the_dr_node_holds_is_not_forgotten() {
    let mut trio = Trio::new("standby");
    trio.reach(&trio.db1, &trio.db2, None);
    run(&trio.db1, "flushPrimary", &["--wait", "0"]);
    let first = held(&trio.db3);
    assert!(first.is_some() && first == copy(&trio));
    // A server that was started and stopped by hand has another end.
    trio.db1.start().unwrap();
    trio.db1.stop(StopMode::Fast).unwrap();
    trio.db3.sshd().stop();
    let said = fails(&trio.db1, "flushPrimary", &WITHOUT);
    assert!(said.contains("db3 is the DR node and may hold the receipt"), "{said}");
    assert_eq!((held(&trio.db3), copy(&trio)), (first.clone(), first.clone()));

    trio.db3.sshd().restart().unwrap();
    run(&trio.db1, "flushPrimary", &[]);
    let second = held(&trio.db3);
    assert!(second.is_some() && second != first);
    trio.db3.sshd().stop();
    refuse_promotion(&trio);
    let said = fails(&trio.db1, "switchover", &WITHOUT);
    assert!(said.contains("This node is still the primary"), "{said}");
    assert!(said.contains("the DR node was not asked and may still hold the receipt"), "{said}");
    assert_eq!((held(&trio.db2), held(&trio.db3), copy(&trio)), (None, second.clone(), second));
    is_up(&trio.db1);
    trio.db3.sshd().restart().unwrap();
    run(&trio.db1, "flushPrimary", &["--undo"]);
    assert_eq!((held(&trio.db3), copy(&trio)), (None, None));
    trio.db1.stop(StopMode::Fast).unwrap();
}

/// The hint was to run a command that changed nothing.
#[test]
fn a_primary_can_be_flushed_without_a_dr_node_that_stays_down() {
    let mut trio = Trio::new("standby");
    trio.reach(&trio.db1, &trio.db2, None);
    trio.db3.sshd().stop();
    run(&trio.db1, "flushPrimary", &WITHOUT);
    let earlier = copy(&trio);
    run(&trio.db1, "flushPrimary", &["--undo", "--force"]);
    assert!(earlier.is_some() && copy(&trio) == earlier && held(&trio.db2).is_none());
    is_up(&trio.db1);
    for command in ["flushPrimary", "switchover"] {
        let said = fails(&trio.db1, command, &WITHOUT);
        assert!(said.contains("empty local/replication/drnode on this node"), "{said}");
    }
    trio.db1.write_local("replication/drnode", "").unwrap();
    run(&trio.db1, "flushPrimary", &["--wait", "0"]);
    assert!(copy(&trio).is_some() && copy(&trio) != earlier && held(&trio.db2) == copy(&trio));
    // It gets the receipt when it is back.
    trio.db1.write_local("replication/drnode", "db3\n").unwrap();
    trio.db3.sshd().restart().unwrap();
    run(&trio.db1, "flushPrimary", &[]);
    assert_eq!(held(&trio.db3), copy(&trio));
}

/// It was said to be the primary, and db1 to be made a standby.
#[test]
fn a_dr_node_that_was_promoted_for_a_test_is_named() {
    let trio = Trio::new("standby");
    trio.reach(&trio.db1, &trio.db2, None);
    trio.reach(&trio.db1, &trio.db3, Some(&trio.db2));
    run(&trio.db3, "triggerStandby", &[]);
    for command in ["flushPrimary", "switchover"] {
        let said = fails(&trio.db1, command, &["--wait", "0"]);
        assert!(said.contains("db3, the DR node, was promoted"), "{said}");
        assert!(said.contains("empty local/replication/drnode"), "{said}");
        assert!(!said.contains("is the primary now"), "{said}");
    }
    // The standby would fetch the other timeline.
    for node in [&trio.db1, &trio.db2] {
        node.write_local("replication/drnode", "").unwrap();
    }
    run(&trio.db1, "switchover", &["--wait", "0"]);
    assert!(!trio.db2.is_in_recovery().unwrap());
    is_up(&trio.db1);
    trio.db1.stop(StopMode::Fast).unwrap();
}
