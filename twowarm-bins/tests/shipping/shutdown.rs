use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use twowarm_core::testbed::{StallingListener, StopMode, names_in, wait_until};

use crate::pair::{LIMIT, ONE, Pair};

/// Much longer than a shutdown may be delayed.
const TIME_LIMIT: &str = "time_limit = 60";

/// db1's configuration for db2 leads to a port that accepts connections and never answers.
fn with_stalling_node() -> (Pair, StallingListener) {
    let mut pair = Pair::new();
    let listener = StallingListener::start().unwrap();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let port = pair.db2.sshd().port().to_string();
    let stalling = settings.replace(&port, &listener.port().to_string());
    pair.db1.write_local("2warm.toml", stalling.replace("time_limit = 3", TIME_LIMIT)).unwrap();
    (pair, listener)
}

/// Writes a postmaster.pid with this process as the postmaster.
fn postmaster(pair: &Pair, status: Option<&str>) {
    let pgdata = pair.db1.pgdata();
    let (pid, status) = (std::process::id(), status.map(|s| format!("{s}\n")).unwrap_or_default());
    let text = format!("{pid}\n{}\n1700000000\n5501\n/s\n\n  1 2\n{status}", pgdata.display());
    pair.db1.run_as().write(&pgdata.join("postmaster.pid"), text).unwrap();
}

fn memory(pair: &Pair) -> PathBuf {
    pair.db1.local().join("replication/unanswered_shutdown")
}

#[test]
fn a_call_gives_up_within_five_seconds_of_a_shutdown() {
    let (pair, _listener) = with_stalling_node();
    postmaster(&pair, Some("ready   "));
    let mut call = pair.db1.command("archiveWALFile");
    call.args([&format!("pg_wal/{ONE}"), ONE]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let call = call.spawn().unwrap();
    wait_until("the call to start", LIMIT, || pair.db1.runs("archiveWALFile")).unwrap();
    postmaster(&pair, Some("stopping"));
    pair.fails(&call.wait_with_output().unwrap(), 1, &[ONE, "shutting down", "db2", "in time"]);

    // The next attempts of the server.
    pair.fails(&pair.send(), 1, &["shutting down", "has not answered"]);

    // The shutdown of a later server has its own time budget.
    fs::write(memory(&pair), "1 1").unwrap();
    pair.fails(&pair.send(), 1, &["shutting down", "in time"]);

    // After a restart the usual limits apply, and the note is removed.
    postmaster(&pair, Some("ready   "));
    let fast = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    pair.db1.write_local("2warm.toml", fast.replace(TIME_LIMIT, "time_limit = 7")).unwrap();
    pair.fails(&pair.send(), 1, &["no progress in 7 s"]);
    assert!(!memory(&pair).exists());
}

/// Before 10, postmaster.pid does not show the state. pg_control of a new cluster says that it is shut down.
#[test]
fn before_10_pg_control_shows_the_shutdown() {
    let (pair, _listener) = with_stalling_node();
    postmaster(&pair, None);
    pair.fails(&pair.send(), 1, &["shutting down", "in time"]);
}

#[test]
fn a_node_that_answers_gets_everything_during_a_shutdown() {
    let pair = Pair::new();
    for status in [Some("stopping"), None] {
        postmaster(&pair, status);
        pair.arrives();
        assert!(!memory(&pair).exists());
        fs::remove_file(pair.archived(ONE)).unwrap();
    }
}

fn start_archiving(pair: &Pair) {
    let archiving = "archive_mode = on\nfsync = off\n\
                     archive_command = '../2warm/global/replication/archiveWALFile %p %f'";
    pair.db1.append_conf(archiving).unwrap();
    pair.db1.start().unwrap();
    pair.db1.sql("create table t (n int); select pg_switch_wal()").unwrap();
}

/// Regression: it took 184 s.
#[test]
fn a_server_stops_although_the_other_node_never_answers() {
    let (pair, _listener) = with_stalling_node();
    start_archiving(&pair);
    wait_until("archiveWALFile to start", LIMIT, || pair.db1.runs("archiveWALFile")).unwrap();
    pair.db1.stop(StopMode::Fast).unwrap();
}

#[test]
fn a_server_that_stops_ships_all_it_has_to_a_node_that_answers() {
    let mut pair = Pair::new();
    pair.db2.sshd().stop();
    start_archiving(&pair);
    for n in 0..3 {
        pair.db1.sql(&format!("insert into t values ({n}); select pg_switch_wal()")).unwrap();
    }
    pair.db2.sshd().restart().unwrap();
    pair.db1.stop(StopMode::Fast).unwrap();
    let mut waiting = names_in(&pair.db1.pgdata().join("pg_wal/archive_status"));
    waiting.retain(|name| name.ends_with(".ready"));
    assert!(waiting.is_empty(), "{waiting:?}\n{}", pair.db1.log());
    assert!(pair.archived("000000010000000000000004").exists());
}
