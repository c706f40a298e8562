use twowarm_core::testbed::{LIMIT, wait_until};

use crate::pair::{Client, Pair, Running, rows};

#[test]
fn after_undo_the_old_primary_goes_on() {
    let pair = Pair::new("warm");
    pair.on_db1("flushPrimary", &[]);
    assert!(pair.receipt().is_some());
    let said = pair.on_db1("flushPrimary", &["--undo"]);
    assert!(said.contains("The receipt is void") && said.contains("may be started"), "{said}");
    pair.is_as_before();
    pair.db1.start().unwrap();
    pair.flows(100);
    // The next switchover is an ordinary one.
    pair.on_db1("flushPrimary", &[]);
    pair.on_db2("triggerStandby", &[]);
    assert_eq!(rows(&pair.db2), Some(200));
}

/// Superusers too are kept out, and an interruption lets them in again.
#[test]
fn no_session_gets_in_until_the_flush_is_interrupted() {
    let pair = Pair::new("standby");
    let client = Client::start(&pair.db1);
    let mut command = pair.db1.command("flushPrimary");
    command.args(["--wait", "600"]);
    let mut flush = Running::start(command);
    flush.prints("Waiting for 1 session to end");
    pair.rejects_sessions();
    flush.interrupt();
    wait_until("a session to get in", LIMIT, || pair.db1.client().is_ok()).unwrap();
    assert!(client.stop() > 0, "its session was not ended");
    pair.is_as_before();
    pair.flows(10);
}

/// A session that ends by itself is not terminated.
#[test]
fn sessions_are_waited_for() {
    let pair = Pair::new("standby");
    let client = Client::start(&pair.db1);
    let mut command = pair.db1.command("flushPrimary");
    command.args(["--wait", "600"]);
    let mut flush = Running::start(command);
    flush.prints("Waiting for 1 session to end");
    let written = client.stop();
    flush.prints("db2 holds all WAL");
    pair.on_db2("triggerStandby", &[]);
    assert_eq!(rows(&pair.db2), Some(100 + written));
}
