use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::{Node, StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, names, set_mode, succeeds};
use crate::switching::{certified, modes, trigger, wal_of};

/// A pair whose standby streams too: from 9.1 on, where standby mode is used.
pub fn streaming_pair() -> Option<Pair> {
    let pair = Pair::new();
    let major = pair.db1.install().major().unwrap();
    if !major.has_standby_mode_promotion() {
        return None;
    }
    if !major.streams_by_default() {
        pair.db1.append_conf("max_wal_senders = 3").unwrap();
        let hba = pair.db1.pgdata().join("pg_hba.conf");
        let text = fs::read_to_string(&hba).unwrap() + "local replication all trust\n";
        pair.db1.run_as().write(&hba, text).unwrap();
        pair.db1.stop(StopMode::Fast).unwrap();
        pair.db1.start().unwrap();
    }
    set_mode(&pair.db2, "standby");
    let (socket, port) = (pair.db1.socket_dir(), pair.db1.port());
    let user = pair.db1.run_as().user().to_owned();
    let source = format!("host={} port={port} user={user}", socket.display());
    let recovery = format!("primary_conninfo = '{source}'\n");
    pair.db2.run_as().write(&pair.db2.global().join("recovery.conf"), recovery).unwrap();
    pair.fill("first", 1000);
    pair.make_standby();
    let streams = || pair.db1.sql("select count(*) from pg_stat_replication").unwrap() == "1";
    wait_until("the standby to stream", LIMIT, streams)
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
    Some(pair)
}

/// Makes archive_command fail, so that WAL is only streamed.
pub fn stop_archiving(node: &Node) {
    node.append_conf("archive_command = 'false'").unwrap();
    kill(Pid::from_raw(node.pid().unwrap()), Signal::SIGHUP).unwrap();
    let stopped = || node.sql("show archive_command").unwrap() == "false";
    wait_until("archive_command to change", LIMIT, stopped).unwrap();
    // The process that ships ahead remains for some seconds.
    let ended = || !node.runs("archiveWALFile");
    wait_until("archiveWALFile to end", LIMIT, ended).unwrap();
}

fn segments(node: &Node) -> Vec<String> {
    names(&node.archive()).into_iter().filter(|name| name.len() == 24).collect()
}

#[test]
fn streamed_segments_are_in_the_archive_before_the_promotion() {
    let Some(pair) = streaming_pair() else { return };
    pair.ship();
    stop_archiving(&pair.db1);
    let before = segments(&pair.db2);
    for table in ["second", "third"] {
        pair.fill(table, 1000);
        pair.db1.switch_wal().unwrap();
    }
    pair.fill("last", 77);
    pair.wait_for_rows("last", 77);
    assert_eq!(segments(&pair.db2), before, "none of them was shipped");
    pair.db1.stop(StopMode::Immediate).unwrap();
    let said = succeeds(trigger(&pair.db2, &[]));
    assert!(said.contains("Copied into") && said.contains("before the promotion"), "{said}");
    assert!(said.contains("00000002.history"), "{said}");
    for words in [
        "later transactions of the primary are lost: the last complete WAL file here is ",
        "The last transaction that was replayed was committed at ",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let after = segments(&pair.db2);
    assert!(after.len() >= before.len() + 2, "{before:?} {after:?}");
    for (table, rows) in [("second", "1000"), ("third", "1000"), ("last", "77")] {
        assert_eq!(pair.db2.sql(&format!("select count(*) from {table}")).unwrap(), rows);
    }
    certified(&pair.db2);
    // The last segment is incomplete, and stays where it was.
    let last = after.last().unwrap();
    assert!(pair.db2.archive().join("00000002.history").exists());
    let mut partial = names(&wal_of(&pair.db2)).into_iter().filter(|n| n.ends_with(".partial"));
    assert!(partial.all(|name| name[..24] > last[..]), "{last}");
}

#[test]
fn a_gap_that_the_servers_own_wal_fills_is_filled() {
    for mode in modes() {
        let pair = Pair::with_standby_in(mode);
        pair.db2.stop(StopMode::Fast).unwrap();
        let before = segments(&pair.db2);
        for table in ["second", "third"] {
            pair.fill(table, 10);
            pair.ship();
        }
        let arrived = segments(&pair.db2).into_iter().filter(|name| !before.contains(name));
        let missing = arrived.into_iter().next().unwrap();
        let aside = pair.db2.home().join(&missing);
        fs::rename(pair.db2.archive().join(&missing), &aside).unwrap();
        let said = fails(trigger(&pair.db2, &[]), 1);
        assert!(said.contains(&format!("{missing} is missing")), "{said}");
        // Copied by hand from the disk of the primary.
        let content = fs::read(&aside).unwrap();
        pair.db2.run_as().write(&wal_of(&pair.db2).join(&missing), &content).unwrap();
        pair.db2.start_warm().unwrap();
        let said = succeeds(trigger(&pair.db2, &[]));
        assert!(said.contains(&missing), "{said}");
        assert_eq!(fs::read(pair.db2.archive().join(&missing)).unwrap(), content);
        assert_eq!(pair.db2.sql("select count(*) from third").unwrap(), "10", "{mode}");
        certified(&pair.db2);
    }
}

#[test]
fn a_damaged_segment_of_the_servers_own_wal_stays_where_it_is() {
    let pair = Pair::with_standby_in("warm");
    pair.db2.stop(StopMode::Fast).unwrap();
    let before = segments(&pair.db2);
    pair.fill("second", 10);
    pair.ship();
    let last = segments(&pair.db2).into_iter().rfind(|name| !before.contains(name)).unwrap();
    let stored = pair.db2.archive().join(&last);
    let mut content = fs::read(&stored).unwrap();
    content[80] ^= 1;
    fs::remove_file(&stored).unwrap();
    pair.db2.run_as().write(&wal_of(&pair.db2).join(&last), content).unwrap();
    succeeds(trigger(&pair.db2, &["--no-wait"]));
    assert!(!stored.exists());
}
