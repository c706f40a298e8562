//! A DR node: as the second destination of flushPrimary, and after the promotion of the standby.

use twowarm_core::receipt::Receipt;
use twowarm_core::testbed::Node;

use crate::load::Load;
use crate::running::Running;
use crate::site::{fails, missing, run};
use crate::trio::Trio;

/// The receipt in a node's archive.
fn receipt(node: &Node) -> Option<Receipt> {
    Receipt::in_archive(&node.archive()).unwrap()
}

/// db2 becomes the primary of a cluster that was flushed, db1 its standby, and db3 follows without a copy.
fn switches_over(trio: &Trio, rows: &[u64]) {
    let Trio { db1, db2, db3 } = trio;
    let said = run(db2, "triggerStandby", &["--require-receipt"]);
    assert!(said.contains("all its WAL is here"), "{said}");
    assert_eq!(missing(db2, rows), [0; 0]);
    run(db1, "configStandby", &["--rejoin"]);
    db1.start_warm().unwrap();
    trio.reach(db2, db1, None);
    trio.reach(db2, db3, Some(db1));
    for node in [db1, db3] {
        assert_eq!(missing(node, rows), [0; 0], "{}", node.name());
        assert!(node.is_in_recovery().unwrap());
        assert_eq!(node.timeline().unwrap(), 2);
    }
}

fn receipts_on_both_and_a_promotion(mode: &str) {
    let trio = Trio::new(mode);
    let Trio { db1, db2, db3 } = &trio;
    trio.reach(db1, db2, None);
    trio.reach(db1, db3, Some(db2));
    let load = Load::start(&[db1]);
    load.goes_on();
    let said = run(db1, "flushPrimary", &["--wait", "0"]);
    let rows = load.stop();
    assert!(said.contains("db2 holds all WAL up to the end, and the receipt"), "{said}");
    // What the load has written since the last run is relayed by the standby.
    run(db2, "rsyncDR", &[]);
    assert!(receipt(db2).is_some() && receipt(db2) == receipt(db3), "{said}");
    let segment = receipt(db2).unwrap().segment;
    for node in [db2, db3] {
        assert!(node.archive().join(format!("{segment}.partial")).exists());
        assert!(node.is_in_recovery().unwrap());
    }
    switches_over(&trio, &rows);
}

#[test]
fn the_dr_node_holds_the_receipt_and_follows_the_promotion() {
    receipts_on_both_and_a_promotion("standby");
}

/// Standby and DR node are both in warm mode, in which a server does not follow a newer timeline without a restart.
#[test]
fn the_dr_node_follows_in_warm_mode() {
    receipts_on_both_and_a_promotion("warm");
}

#[test]
fn a_flush_without_the_dr_node_says_how_to_go_on() {
    let mut trio = Trio::new("standby");
    trio.reach(&trio.db1, &trio.db2, None);
    trio.db3.sshd().stop();
    let said = fails(&trio.db1, "flushPrimary", &["--wait", "0"]);
    assert!(said.contains("db3 is the DR node") && said.contains("--without-dr"), "{said}");
    // Nothing was changed.
    trio.reach(&trio.db1, &trio.db2, None);
    assert_eq!(receipt(&trio.db2), None);
    let load = Load::start(&[&trio.db1]);
    load.goes_on();
    run(&trio.db1, "flushPrimary", &["--wait", "0", "--without-dr"]);
    let rows = load.stop();
    trio.db3.sshd().restart().unwrap();
    run(&trio.db2, "rsyncDR", &[]);
    switches_over(&trio, &rows);
}

/// Its network fails after the flush has begun.
#[test]
fn a_dr_node_that_is_lost_during_a_flush_gets_the_receipt_later() {
    let mut trio = Trio::new("standby");
    trio.reach(&trio.db1, &trio.db2, None);
    let load = Load::start(&[&trio.db1]);
    load.goes_on();
    let mut flush = Running::start(&trio.db1, "flushPrimary", &["--wait", "0"]);
    assert!(flush.says(&["New sessions are rejected"]));
    trio.db3.sshd().stop();
    let (succeeded, said) = flush.end();
    let rows = load.stop();
    assert!(!succeeded && said.contains("The server is stopped. HINT: correct"), "{said}");
    assert!(said.contains("run flushPrimary again"), "{said}");
    trio.db3.sshd().restart().unwrap();
    run(&trio.db1, "flushPrimary", &[]);
    run(&trio.db2, "rsyncDR", &[]);
    assert!(receipt(&trio.db2).is_some() && receipt(&trio.db2) == receipt(&trio.db3));
    switches_over(&trio, &rows);
}
