//! Which node gets a file.

use std::fs;
use std::time::{Duration, Instant};

use twowarm_core::testbed::{Direction, Fault, wait_until};

use crate::trio::{LIMIT, Trio, holds, said};

#[test]
fn while_the_standby_is_down_files_go_to_the_dr_node() {
    let mut trio = Trio::new();
    assert_eq!(trio.succeeds(), "");
    trio.is_on(&[&trio.db2]);
    trio.db2.sshd().stop();
    let told = trio.succeeds();
    for words in ["WARNING: db2 is down: ", "db2 (127.0.0.1:", "shipped to db3"] {
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
    }
    trio.is_on(&[&trio.db3]);
    // One warning a minute.
    for _ in 0..3 {
        assert_eq!(trio.succeeds(), "");
        trio.is_on(&[&trio.db3]);
    }
    trio.db2.sshd().restart().unwrap();
    let told = trio.returns_to_the_standby();
    assert!(told.contains("db2 can be reached again, after "), "{told}");
    assert!(!trio.memory().exists());
    let connections = trio.to_db3.connections();
    assert!(trio.succeeds().contains("already exists in db2:"));
    assert_eq!(trio.to_db3.connections(), connections);
}

/// Only the first call waits for the time limit.
#[test]
fn a_standby_that_hangs_is_waited_for_once() {
    let trio = Trio::new();
    trio.to_db2.stall();
    let told = trio.succeeds();
    assert!(told.contains("no progress in 3 s"), "{told}");
    trio.is_on(&[&trio.db3]);
    trio.standby_is_not_due();
    let connections = trio.to_db2.connections();
    for _ in 0..3 {
        trio.succeeds();
        trio.is_on(&[&trio.db3]);
    }
    assert_eq!(trio.to_db2.connections(), connections);
    trio.to_db2.resume();
    fs::remove_file(trio.memory()).unwrap();
    trio.succeeds();
    trio.is_on(&[&trio.db2]);
}

/// A brief interruption is within the time limit.
#[test]
fn a_network_that_is_interrupted_for_five_seconds_changes_nothing() {
    let trio = Trio::new();
    let settings = fs::read_to_string(trio.db1.local().join("2warm.toml")).unwrap();
    trio.db1
        .write_local("2warm.toml", settings.replace("time_limit = 3", "time_limit = 12"))
        .unwrap();
    for offset in [1000, 100_000, 400_000] {
        trio.to_db2.fault_at(Direction::ToServer, offset, Fault::Stall);
        let call = trio.begin();
        wait_until("the interruption", LIMIT, || trio.to_db2.is_stalled()).unwrap();
        let since = Instant::now();
        wait_until("its end", LIMIT, || since.elapsed() > Duration::from_secs(5)).unwrap();
        trio.to_db2.resume();
        let output = call.wait_with_output().unwrap();
        assert!(output.status.success() && said(&output).is_empty(), "at {offset}: {output:?}");
        trio.is_on(&[&trio.db2]);
    }
}

#[test]
fn a_standby_that_cannot_store_is_down() {
    let trio = Trio::new();
    let archive = trio.db2.archive();
    let aside = archive.with_extension("aside");
    fs::rename(&archive, &aside).unwrap();
    let told = trio.succeeds();
    assert!(
        told.contains("db2 refused: archive directory") && told.contains("shipped to db3"),
        "{told}"
    );
    fs::rename(&aside, &archive).unwrap();
    trio.is_on(&[&trio.db3]);
    assert!(trio.returns_to_the_standby().contains("db2 can be reached again"));
    fs::remove_file(trio.db2.archive().join(&trio.one)).unwrap();

    // Full, read-only, and with a disk that fails.
    let receiver = trio.db2.global().join("replication/receiveWALFile").display().to_string();
    let incoming = archive.join(".incoming").display().to_string();
    let fails = [
        ("fsync:error=ENOSPC:when=1".to_owned(), "No space left"),
        ("fsync:error=EIO:when=1".to_owned(), "Input/output error"),
        (format!("openat:error=EROFS -P {incoming}"), "Read-only file system"),
    ];
    for (inject, words) in fails {
        let _ = fs::remove_file(trio.memory());
        let strace = format!("strace -f -qq -o /dev/null -e inject={inject} {receiver}");
        authorize(&trio, Some(&strace));
        let told = trio.succeeds();
        assert!(told.contains("db2 refused: ") && told.contains(words), "{words}: {told}");
        assert!(holds(&trio.db3, &trio.one) && !holds(&trio.db2, &trio.one), "{words}");
        fs::remove_file(trio.db3.archive().join(&trio.one)).unwrap();
    }
    authorize(&trio, None);
    trio.returns_to_the_standby();
    let _ = fs::remove_file(trio.db3.archive().join(&trio.one));
    trio.is_on(&[&trio.db2]);
}

fn authorize(trio: &Trio, forced: Option<&str>) {
    let keys = trio.db2.home().join("sshd/authorized_keys");
    let forced = forced.map(|command| format!("restrict,command=\"{command}\" "));
    let line = forced.unwrap_or_default() + trio.db1.key().public() + "\n";
    trio.db2.run_as().write(&keys, line).unwrap();
}

#[test]
fn with_both_down_the_message_tells_what_waits() {
    let mut trio = Trio::new();
    for node in [&mut trio.db2, &mut trio.db3] {
        node.sshd().stop();
    }
    let status = trio.db1.pgdata().join("pg_wal/archive_status");
    trio.db1.run_as().write(&status.join(format!("{}.ready", trio.one)), "").unwrap();
    let both = ["ERROR: db2 (127.0.0.1:", "; db3 (127.0.0.1:"];
    let details =
        ["nothing could be archived for ", "1 segment is waiting", "GB of disk space are left"];
    trio.fails(&[both.as_slice(), &details].concat());
    // Briefly until a minute has passed.
    let again = trio.fails(&["db2", "db3"]);
    assert!(!again.contains("is waiting"), "{again}");
    let text = fs::read_to_string(trio.memory()).unwrap();
    let reported = text.lines().next().unwrap();
    let earlier = text.replace(reported, "version=1 reported=1000000000");
    trio.db1.run_as().write(&trio.memory(), earlier).unwrap();
    trio.fails(&details[1..]);
    trio.is_on(&[]);
    // Each of them is enough.
    trio.db3.sshd().restart().unwrap();
    trio.succeeds();
    trio.is_on(&[&trio.db3]);
    trio.db3.sshd().stop();
    trio.db2.sshd().restart().unwrap();
    trio.standby_is_not_due();
    assert!(trio.succeeds().contains("db2 can be reached again"));
    trio.is_on(&[&trio.db2]);
}

#[test]
fn with_hold_nothing_is_relayed() {
    let trio = Trio::new();
    trio.db1.append_settings("[archive]\nwhen_standby_down = \"hold\"").unwrap();
    trio.to_db2.refuse(true);
    trio.fails(&["db2", "nothing could be archived"]);
    trio.fails(&["db2"]);
    assert_eq!(trio.to_db3.connections(), 0);
    trio.to_db2.refuse(false);
    trio.succeeds();
    trio.is_on(&[&trio.db2]);
}

#[test]
fn two_at_once_both_arrive_at_the_dr_node() {
    let mut trio = Trio::new();
    trio.db2.sshd().stop();
    for child in [trio.begin(), trio.begin(), trio.begin()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    trio.is_on(&[&trio.db3]);
}

/// A segment whose acknowledgement was lost is on both nodes.
#[test]
fn a_lost_acknowledgement_leaves_the_same_segment_on_both_nodes() {
    let trio = Trio::new();
    let receiver = trio.db2.global().join("replication/receiveWALFile").display().to_string();
    let stored = trio.db2.archive().join(&trio.one).display().to_string();
    let part = trio.db2.home().join("part").display().to_string();
    // Passes the answers on until the segment is stored.
    let filter = format!(
        "while dd of={part} bs=4096 count=1 status=none && test -s {part} && ! test -e {stored}; do cat {part}; done"
    );
    authorize(&trio, Some(&format!("{receiver} | ({filter})")));
    assert!(trio.succeeds().contains("no progress"));
    trio.is_on(&[&trio.db2, &trio.db3]);
}
