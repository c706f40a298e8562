//! A real primary that archives while its standby and its DR node fail.

use std::fs;

use twowarm_core::testbed::{StopMode, names_in, wait_until};

use crate::trio::{LIMIT, Trio, holds};

/// Starts db1 with archive_command; it has a table `t`.
fn start(trio: &Trio) {
    trio.db1.append_conf(&trio.db1.archiving_conf().unwrap()).unwrap();
    trio.db1.start().unwrap();
    trio.db1.sql("create table t (n int)").unwrap();
}

fn next_segment(trio: &Trio) -> String {
    trio.db1.sql("insert into t values (1)").unwrap();
    trio.db1.switch_wal().unwrap()
}

fn waiting(trio: &Trio) -> Vec<String> {
    let mut names = names_in(&trio.db1.pgdata().join("pg_wal/archive_status"));
    names.retain(|name| name.ends_with(".ready"));
    names
}

#[test]
fn a_primary_archives_to_the_dr_node_and_returns_to_the_standby() {
    let mut trio = Trio::new();
    start(&trio);
    let mut names = vec![next_segment(&trio)];
    trio.db1.wait_until_archived(&names[0]).unwrap();
    assert!(holds(&trio.db2, &names[0]));
    trio.db2.sshd().stop();
    for _ in 0..4 {
        names.push(next_segment(&trio));
        trio.db1.wait_until_archived(names.last().unwrap()).unwrap();
        assert!(holds(&trio.db3, names.last().unwrap()));
    }
    trio.db2.sshd().restart().unwrap();
    wait_until("the primary to return to the standby", LIMIT, || {
        names.push(next_segment(&trio));
        trio.db1.wait_until_archived(names.last().unwrap()).unwrap();
        holds(&trio.db2, names.last().unwrap())
    })
    .unwrap();
    trio.db1.stop(StopMode::Fast).unwrap();
    for name in &names {
        assert!(holds(&trio.db2, name) != holds(&trio.db3, name), "{name}");
    }
    // PostgreSQL counts no failure, and the log has one line for each event.
    let log = trio.db1.log();
    assert!(!log.contains("archive command failed"), "{log}");
    assert_eq!(log.matches("WARNING: db2 is down").count(), 1, "{log}");
    assert_eq!(log.matches("db2 can be reached again, after").count(), 1, "{log}");
}

#[test]
fn with_both_down_the_log_tells_it_once_a_minute() {
    let mut trio = Trio::new();
    trio.db2.sshd().stop();
    trio.db3.sshd().stop();
    start(&trio);
    let failures = |trio: &Trio| trio.db1.log().matches("archiveWALFile: ERROR: ").count();
    for _ in 0..3 {
        let before = failures(&trio);
        next_segment(&trio);
        wait_until("a failed call", LIMIT, || failures(&trio) > before).unwrap();
    }
    let log = trio.db1.log();
    assert_eq!(log.matches("nothing could be archived for ").count(), 1, "{log}");
    assert_eq!(waiting(&trio).len(), 3);
    trio.db3.sshd().restart().unwrap();
    let last = next_segment(&trio);
    trio.db1.wait_until_archived(&last).unwrap();
    assert!(holds(&trio.db3, &last));
    assert_eq!(waiting(&trio), [""; 0]);
}

/// Regression: the standby would use the whole 5 s of a shutdown, and the DR node would get nothing.
#[test]
fn in_a_shutdown_the_dr_node_gets_what_waits_although_the_standby_hangs() {
    let mut trio = Trio::new();
    // Much longer than a shutdown may be delayed.
    let settings = fs::read_to_string(trio.db1.local().join("2warm.toml")).unwrap();
    trio.db1
        .write_local("2warm.toml", settings.replace("time_limit = 3", "time_limit = 600"))
        .unwrap();
    trio.db3.sshd().stop();
    trio.to_db2.stall();
    start(&trio);
    for _ in 0..3 {
        next_segment(&trio);
    }
    wait_until("a call that hangs", LIMIT, || trio.to_db2.connections() > 0).unwrap();
    trio.db3.sshd().restart().unwrap();
    trio.db1.stop(StopMode::Fast).unwrap();
    assert_eq!(waiting(&trio), [""; 0], "{}", trio.db1.log());
}

#[test]
fn in_a_shutdown_two_nodes_that_hang_take_five_seconds_together() {
    let trio = Trio::new();
    let settings = fs::read_to_string(trio.db1.local().join("2warm.toml")).unwrap();
    trio.db1
        .write_local("2warm.toml", settings.replace("time_limit = 3", "time_limit = 600"))
        .unwrap();
    trio.to_db2.stall();
    trio.to_db3.stall();
    start(&trio);
    for _ in 0..3 {
        next_segment(&trio);
    }
    wait_until("a call that hangs", LIMIT, || trio.to_db2.connections() > 0).unwrap();
    trio.db1.stop(StopMode::Fast).unwrap();
    assert!(waiting(&trio).len() >= 3);
}
