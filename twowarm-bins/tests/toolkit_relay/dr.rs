//! The way of the WAL while all nodes are up, and while one is down.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use twowarm_core::testbed::{StopMode, names_in, wait_until};

use crate::nodes::{LIMIT, Three, has_rows, holds, relay_from, rsync_dr, said};

#[test]
fn the_dr_node_replays_what_the_standby_has_received() {
    let three = Three::new();
    // Nothing has arrived.
    three.relay();
    let names = [three.ship(), three.ship(), three.ship()];
    has_rows(&three.db2, 3);
    assert!(!holds(&three.db3, &names[0]));
    three.relay();
    has_rows(&three.db3, 3);
    assert!(three.floor() > names[2], "{}", three.floor());
    // Nothing on the primary, which has no archive, and nothing to do.
    relay_from(&three.db1);
    let owner = fs::read_to_string(three.db3.archive().join(".owner")).unwrap();
    assert_eq!(owner, fs::read_to_string(three.db2.archive().join(".owner")).unwrap());
    three.relay();
    // The primary may send to the DR node too.
    three.db2.stop(StopMode::Fast).unwrap();
    fs::rename(three.db2.archive(), three.db2.archive().with_extension("aside")).unwrap();
    let relayed = three.ship();
    assert!(holds(&three.db3, &relayed));
    has_rows(&three.db3, 4);
}

#[test]
fn a_standby_that_was_down_catches_up_from_the_dr_node() {
    let mut three = Three::new();
    three.db2.append_settings("[restore]\nrestore_from = [\"db3\"]").unwrap();
    let mut names = vec![three.ship()];
    has_rows(&three.db2, 1);
    three.relay();
    three.db2.stop(StopMode::Fast).unwrap();
    three.db2.sshd().stop();
    for _ in 0..4 {
        names.push(three.ship());
    }
    assert!(names[1..].iter().all(|name| holds(&three.db3, name)));
    has_rows(&three.db3, 5);
    three.db2.sshd().restart().unwrap();
    wait_until("the primary to return to the standby", LIMIT, || {
        names.push(three.ship());
        holds(&three.db2, names.last().unwrap())
    })
    .unwrap();
    // What is missing here is on the DR node already.
    three.relay();
    assert!(three.floor() > *names.last().unwrap(), "{}", three.floor());
    three.db2.start_warm().unwrap();
    has_rows(&three.db2, names.len());
    has_rows(&three.db3, names.len());
    names.push(three.ship());
    three.relay();
    has_rows(&three.db3, names.len());
}

#[test]
fn a_dr_node_that_is_down_blocks_nothing() {
    let mut three = Three::new();
    let first = three.ship();
    three.relay();
    three.db3.sshd().stop();
    let names: Vec<String> = (0..6).map(|_| three.ship()).collect();
    has_rows(&three.db2, 7);
    let output = rsync_dr(&three.db2).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.starts_with("rsyncDR: ERROR: could not connect to db3 ") && text.lines().count() == 1,
        "{text}"
    );
    assert!(three.floor() > first && three.floor() <= names[0]);
    // They are kept, whatever the standby has replayed.
    if three.db2.install().major().unwrap().has_hot_standby() {
        three.db2.sql("checkpoint").unwrap();
    }
    three.ship();
    has_rows(&three.db2, 8);
    assert!(names.iter().all(|name| holds(&three.db2, name)));
    three.db3.sshd().restart().unwrap();
    three.relay();
    has_rows(&three.db3, 8);
}

/// rsyncDR is killed while it sends, again and again.
#[test]
fn a_killed_relay_is_resumed() {
    let three = Three::new();
    let count = 12;
    for _ in 0..count {
        three.ship();
    }
    has_rows(&three.db2, count);
    for stored in [0, 1, 2, 4, 7] {
        let mut child = rsync_dr(&three.db2).spawn().unwrap();
        wait_until("some segments to be stored", LIMIT, || {
            let names = names_in(&three.db3.archive());
            let found = names.iter().filter(|name| name.len() == 24).count();
            let has_ended = child.try_wait().unwrap().is_some();
            has_ended || three.db3.runs("receiveWALFile") && found >= stored
        })
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_until("the far ends to end", LIMIT, || !three.db3.runs("receiveWALFile")).unwrap();
    three.relay();
    has_rows(&three.db3, count);
    let left = three.db3.archive().join(".incoming");
    assert!(!left.exists() || fs::read_dir(left).unwrap().count() <= 1);
}

#[test]
fn of_two_at_once_one_relays() {
    let three = Three::new();
    for _ in 0..5 {
        three.ship();
    }
    let children: Vec<Child> = (0..4).map(|_| rsync_dr(&three.db2).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    }
    three.relay();
    has_rows(&three.db3, 5);
}

#[test]
fn with_follow_segments_are_relayed_as_they_arrive() {
    let mut three = Three::new();
    let first = three.ship();
    let mut following = rsync_dr(&three.db2).arg("--follow").stdout(Stdio::null()).spawn().unwrap();
    wait_until("the first segment", LIMIT, || holds(&three.db3, &first)).unwrap();
    for _ in 0..4 {
        let name = three.ship();
        wait_until("the segment", LIMIT, || holds(&three.db3, &name)).unwrap();
    }
    // A second one has nothing to do.
    three.relay();
    // It connects again by itself.
    three.db3.sshd().stop();
    let names = [three.ship(), three.ship()];
    has_rows(&three.db2, 7);
    three.db3.sshd().restart().unwrap();
    wait_until("the segments", LIMIT, || names.iter().all(|name| holds(&three.db3, name))).unwrap();
    let pid = nix::unistd::Pid::from_raw(following.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(following.wait().unwrap().signal(), Some(nix::libc::SIGTERM));
}

#[test]
fn with_follow_it_ends_when_the_dr_node_is_changed() {
    let three = Three::stopped();
    let first = three.ship();
    let mut following = rsync_dr(&three.db2).arg("--follow").stdout(Stdio::null()).spawn().unwrap();
    wait_until("the first segment", LIMIT, || holds(&three.db3, &first)).unwrap();
    assert!(following.try_wait().unwrap().is_none());
    three.db2.write_local("replication/drnode", "").unwrap();
    let ended = wait_until("rsyncDR to end", LIMIT, || following.try_wait().unwrap()).unwrap();
    assert!(ended.success(), "{ended}");
}

/// Its disk was replaced: copyToDR moves the record back to where the new base copy begins.
#[test]
fn a_dr_node_that_gets_a_new_base_copy_is_sent_again_what_it_had_acknowledged() {
    let three = Three::stopped();
    let first = three.ship();
    three.relay();
    let record = three.db2.archive().join(".consumers/db3");
    let before = fs::read(&record).unwrap();
    let mut following = rsync_dr(&three.db2).arg("--follow").stdout(Stdio::null()).spawn().unwrap();
    let names = [three.ship(), three.ship()];
    let are_there = || names.iter().all(|name| holds(&three.db3, name));
    wait_until("the segments", LIMIT, are_there).unwrap();
    wait_until("the record", LIMIT, || three.floor() > names[1]).unwrap();
    for name in [&first, &names[0], &names[1]] {
        fs::remove_file(three.db3.archive().join(name)).unwrap();
    }
    three.db2.run_as().write(&record, before).unwrap();
    wait_until("the segments again", LIMIT, are_there).unwrap();
    assert!(!holds(&three.db3, &first));
    let pid = nix::unistd::Pid::from_raw(following.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    following.wait().unwrap();
}
