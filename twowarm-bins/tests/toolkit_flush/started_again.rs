//! A server that is started again after a flush writes nothing while its receipt is valid.

use twowarm_core::testbed::{LIMIT, StopMode, wait_until};

use crate::pair::{Pair, Running, rows};
use crate::whole::start_command;

/// As a boot of the machine starts it: two primaries would be open after triggerStandby.
#[test]
fn a_server_that_is_started_again_rejects_sessions_until_undo() {
    let pair = Pair::new("standby");
    pair.on_db1("flushPrimary", &[]);
    pair.db1.start().unwrap();
    pair.rejects_sessions();
    let said = pair.on_db1("flushPrimary", &["--undo"]);
    assert!(said.contains("is running as the primary"), "{said}");
    pair.is_as_before();
    pair.flows(10);
}

/// It still has its receipt. Its archive took the new primary's WAL as if it could follow.
#[test]
fn an_old_primary_that_was_started_again_and_crashed_is_down() {
    let pair = Pair::new("standby");
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    let archive = pair.db1.archive();
    pair.db1.run_as().make_dir(&archive, 0o700).unwrap();
    pair.on_db1("flushPrimary", &[]);
    pair.db1.start().unwrap();
    pair.db1.stop(StopMode::Immediate).unwrap();
    pair.on_db2("triggerStandby", &["--require-receipt"]);
    wait_until("the refusal", LIMIT, || pair.db2.log().contains("cannot follow timeline 2"))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.logs()));
    assert!(!archive.join("00000002.history").exists());
    let said = pair.fails("configStandby", &["--rejoin"]);
    assert!(said.contains("its state is \"in production\""), "{said}");
}

/// A receipt of which only the standby knows could not be made void by --undo.
#[test]
fn the_earlier_receipt_is_void_before_a_new_one_is_made() {
    let pair = Pair::new("standby");
    pair.on_db1("flushPrimary", &[]);
    let earlier = pair.receipt().unwrap();
    pair.db1.start().unwrap();
    let mut flush = Running::start(pair.db1.command("flushPrimary"));
    flush.prints("New sessions are rejected");
    assert_ne!(pair.receipt().map(|receipt| receipt.id), Some(earlier.id));
    flush.prints("db2 holds all WAL");
    pair.on_db2("triggerStandby", &["--require-receipt"]);
    assert_eq!(rows(&pair.db2), Some(100));
}

/// The receipt of an earlier switchover cannot be made void any more.
#[test]
fn undo_lets_sessions_in_after_an_earlier_switchover_and_back() {
    let pair = Pair::new("standby");
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    for node in [&pair.db1, &pair.db2] {
        start_command(node);
    }
    if !pair.can_rejoin() {
        return;
    }
    pair.on_db1("switchover", &["--wait", "0"]);
    pair.on_db2("switchover", &["--wait", "0"]);
    assert_eq!(pair.db1.timeline().unwrap(), 3);
    let mut flush = Running::start(pair.db1.command("flushPrimary"));
    flush.prints("New sessions are rejected");
    flush.kill();
    let said = pair.on_db1("flushPrimary", &["--undo"]);
    assert!(said.contains("is running as the primary"), "{said}");
    pair.db1.sql("insert into t values (1)").unwrap();
}
