//! A flush that is killed leaves a running primary, or a stopped one. It can be repeated, and it can be undone.

use std::time::Duration;

use nix::sys::signal::Signal;
use twowarm_core::testbed::{LIMIT, names_in, wait_until};

use crate::pair::{Client, Pair, Running, modes, rows};

/// The first words of the line after which it is killed.
const STEPS: [&str; 7] = [
    "db2 can be reached",
    "New sessions are rejected",
    "All WAL is archived",
    "Waiting for the server to shut down",
    "The server was shut down",
    "The shutdown checkpoint is at",
    "db2 holds all WAL",
];

/// A server that was told to stop stops within this time.
const SIGNALED: Duration = Duration::from_secs(3);

fn kill_after(pair: &Pair, step: &str) {
    let mut command = pair.db1.command("flushPrimary");
    command.args(["--wait", "0"]);
    let mut flush = Running::start(command);
    flush.prints(step);
    flush.kill();
    // It may have told the server to stop before it was killed.
    let _ = wait_until("the server to stop", SIGNALED, || pair.db1.pid().is_none());
}

#[test]
fn a_flush_that_was_killed_can_be_undone() {
    let pair = Pair::new("warm");
    for step in STEPS {
        let client = Client::start(&pair.db1);
        kill_after(&pair, step);
        let is_running = pair.db1.pid().is_some();
        let said = pair.on_db1("flushPrimary", &["--undo"]);
        let expected = if is_running { "is running as the primary" } else { "is stopped and may" };
        assert!(said.contains(expected), "{step}: {said}");
        pair.is_as_before();
        if !is_running {
            pair.db1.start().unwrap();
        }
        client.stop();
        pair.flows(10);
    }
}

#[test]
fn a_flush_that_was_killed_can_be_repeated() {
    for mode in modes() {
        let pair = Pair::new(mode);
        for step in STEPS {
            let client = Client::start(&pair.db1);
            kill_after(&pair, step);
            pair.on_db1("flushPrimary", &["--wait", "0"]);
            client.was_ended();
            if step != STEPS[STEPS.len() - 1] {
                pair.on_db1("flushPrimary", &["--undo"]);
                pair.is_as_before();
                pair.db1.start().unwrap();
                pair.flows(10);
            }
        }
        pair.db1.start().unwrap();
        pair.on_db1("flushPrimary", &["--undo"]);
        let expected = rows(&pair.db1);
        pair.on_db1("flushPrimary", &[]);
        pair.on_db2("triggerStandby", &[]);
        assert_eq!(rows(&pair.db2), expected);
    }
}

/// By SIGTERM, as by Ctrl-C. A shutdown goes on.
#[test]
fn a_flush_that_was_interrupted_can_be_repeated() {
    let pair = Pair::new("standby");
    pair.db1.write_local("replication/own.tmp", "").unwrap();
    for step in [
        "New sessions are rejected",
        "Waiting for the server to shut down",
        "The shutdown checkpoint is at",
    ] {
        let mut command = pair.db1.command("flushPrimary");
        command.args(["--wait", "0"]);
        let mut flush = Running::start(command);
        flush.prints(step);
        flush.interrupt();
        let _ = wait_until("the server to stop", SIGNALED, || pair.db1.pid().is_none());
        pair.on_db1("flushPrimary", &["--wait", "0"]);
        assert!(pair.receipt().is_some() && pair.db1.pid().is_none(), "{step}");
        let files = names_in(&pair.db1.local().join("replication"));
        let left: Vec<_> = files.iter().filter(|name| name.ends_with(".tmp")).collect();
        assert_eq!(left, ["own.tmp"], "{step}: the user's file only");
        pair.on_db1("flushPrimary", &["--undo"]);
        pair.is_as_before();
        pair.db1.start().unwrap();
        pair.flows(10);
    }
}

/// A server that a killed flush has told to stop is not said to be running.
#[test]
fn undo_says_that_the_server_is_shutting_down() {
    let pair = Pair::new("standby");
    let pids = pair.db1.processes().filter(|process| process.command.contains("checkpointer"));
    // It makes the shutdown checkpoint.
    let checkpointer = pids.last().unwrap();
    checkpointer.signal(Signal::SIGSTOP);
    pair.db1.pg_ctl(&["stop", "-W", "-m", "fast"]).unwrap();
    let file = pair.db1.pgdata().join("postmaster.pid");
    let is_stopping = || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("stopping"));
    wait_until("the shutdown to begin", LIMIT, is_stopping).unwrap();
    let said = pair.on_db1("flushPrimary", &["--undo"]);
    checkpointer.signal(Signal::SIGCONT);
    assert!(said.contains("The server is shutting down. HINT: start it"), "{said}");
    wait_until("the server to stop", LIMIT, || pair.db1.pid().is_none()).unwrap();
    pair.db1.start().unwrap();
    pair.flows(10);
}
