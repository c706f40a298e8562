use twowarm_core::testbed::{LIMIT, StopMode, wait_until};

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

/// db1 knows of the promotion by the history that has arrived in its archive, and db2 can't be asked.
#[test]
fn undo_is_refused_once_another_node_was_promoted() {
    let mut pair = Pair::new("standby");
    pair.on_db1("flushPrimary", &[]);
    let end = pair.receipt().unwrap().end;
    pair.on_db2("triggerStandby", &["--require-receipt"]);
    pair.db2.sshd().stop();
    let archive = pair.db1.archive();
    pair.db1.run_as().make_dir(&archive, 0o700).unwrap();
    let history = format!("1\t{end}\tno recovery target specified\n");
    pair.db1.run_as().write(&archive.join("00000002.history"), history).unwrap();
    let said = pair.fails("flushPrimary", &["--undo", "--force"]);
    assert!(said.contains("timeline 2 has forked from this node's timeline 1"), "{said}");
    assert!(pair.db1.local().join("replication/receipt").exists());
}

/// The second one let sessions in while the first one kept them out.
#[test]
fn two_flushes_at_once_are_refused() {
    let pair = Pair::new("standby");
    let client = Client::start(&pair.db1);
    let mut command = pair.db1.command("flushPrimary");
    command.args(["--wait", "600"]);
    let mut flush = Running::start(command);
    flush.prints("Waiting for 1 session to end");
    for arguments in [&[][..], &["--undo"]] {
        let said = pair.fails("flushPrimary", arguments);
        assert!(said.contains("flushPrimary or triggerStandby is using"), "{said}");
    }
    assert!(pair.db1.client().is_err(), "a session got in");
    let written = client.stop();
    flush.prints("db2 holds all WAL");
    pair.on_db2("triggerStandby", &["--require-receipt"]);
    assert_eq!(rows(&pair.db2), Some(100 + written));
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

/// db2 was promoted before db1 could deliver its receipt. db1 was opened again: two primaries.
#[test]
fn undo_is_refused_if_the_standby_was_promoted_without_a_receipt() {
    let pair = Pair::new("standby");
    pair.db1.stop(StopMode::Fast).unwrap();
    pair.on_db2("triggerStandby", &[]);
    let said = pair.fails("flushPrimary", &["--undo"]);
    assert!(said.contains("db2 was promoted"), "{said}");
    let said = pair.fails("flushPrimary", &[]);
    assert!(said.contains("db2"), "{said}");
    for arguments in [&["--undo"][..], &["--undo", "--force"]] {
        let said = pair.fails("flushPrimary", arguments);
        assert!(said.contains("db2 was promoted"), "{said}");
    }
}

/// db2, the primary on timeline 2, has crashed, db1 was promoted to timeline 3, and db2's machine is back. db1 was told that
/// db2 is the primary now, and to be overwritten.
#[test]
fn an_older_primary_is_not_taken_for_the_promoted_standby() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    pair.on_db1("flushPrimary", &["--wait", "0"]);
    pair.on_db2("triggerStandby", &["--require-receipt"]);
    pair.on_db1("configStandby", &["--rejoin"]);
    pair.db1.start_warm().unwrap();
    pair.db2.sql("insert into t values (1)").unwrap();
    let last = pair.db2.switch_wal().unwrap();
    pair.db2.wait_until_archived(&last).unwrap();
    wait_until("the row on db1", LIMIT, || rows(&pair.db1) == Some(101))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.logs()));
    pair.db2.stop(StopMode::Immediate).unwrap();
    pair.on_db1("triggerStandby", &[]);
    assert_eq!(pair.db1.timeline().unwrap(), 3);

    let is_older = |said: &str| {
        let words = "is that of a primary on timeline 2, which cannot follow timeline 3";
        assert!(said.contains(words) && !said.contains("was promoted and is"), "{said}");
    };
    is_older(&pair.fails("flushPrimary", &["--wait", "0"]));
    is_older(&pair.fails("switchover", &["--wait", "0"]));
    pair.db1.sql("insert into t values (1)").unwrap();
    // db1 can be opened again after a shutdown.
    pair.db1.stop(StopMode::Fast).unwrap();
    is_older(&pair.fails("flushPrimary", &["--undo"]));
    pair.on_db1("flushPrimary", &["--undo", "--force"]);
    pair.db1.start().unwrap();
    assert_eq!(rows(&pair.db1), Some(102));
}
