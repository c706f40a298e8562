//! rsync as carrier, to a node without receiveWALFile.

use std::fs;

use crate::pair::{ONE, Pair, said};

/// A node with 2warm's scripts has rsync and an archive directory.
fn without_our_commands() -> Pair {
    let pair = Pair::by("rsync");
    fs::remove_dir_all(pair.db2.pgroot().join("2warm")).unwrap();
    pair
}

#[test]
fn what_rsync_does_not_promise_is_reported_once() {
    let pair = without_our_commands();
    let output = pair.send();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("WARNING: db2 receives WAL by rsync: it does not check whose"), "{text}");
    assert!(!text.contains("--fsync"), "{text}");
    pair.arrives();
    assert!(!said(&pair.send()).contains("by rsync"));
    // Only the file itself has arrived.
    assert_eq!(twowarm_core::testbed::names_in(&pair.db2.archive()), [ONE]);
    let here = pair.db1.local().join("replication/carrier/db2");
    assert_eq!(twowarm_core::testbed::names_in(&here), ["rsync"]);
}

#[test]
fn an_rsync_without_fsync_is_used_without_it() {
    let mut pair = without_our_commands();
    let calls = pair.db2.home().join("calls");
    // rsync's options are not visible here: they come over the connection.
    let old = format!(
        "echo call >>{calls}; if [ $(wc -l <{calls}) = 1 ]; then echo 'rsync: --fsync: unknown option' >&2; exit 1; fi; sh -c \"$SSH_ORIGINAL_COMMAND\"",
        calls = calls.display()
    );
    pair.force(&old);
    let output = pair.send();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("not on disk") && text.contains("--fsync"), "{text}");
    let count = || fs::read_to_string(&calls).unwrap().lines().count();
    assert_eq!(count(), 2);
    fs::remove_file(pair.archived(ONE)).unwrap();
    pair.arrives();
    assert_eq!(count(), 3, "the option is not tried again");
}

#[test]
fn failures_of_ssh_are_named() {
    let mut pair = without_our_commands();
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    pair.db1.run_as().write(&pair.db1.known_hosts(), "").unwrap();
    pair.fails(&pair.send(), 1, &["db2: the host key of [127.0.0.1]:", "is not known"]);
    pair.db1.run_as().write(&pair.db1.known_hosts(), known).unwrap();
    let key = pair.db1.key().clone();
    pair.db2.sshd().refuse(&key).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused the login", "Permission denied"]);
    pair.db2.sshd().authorize(&key, None).unwrap();
    pair.db2.sshd().stop();
    pair.fails(&pair.send(), 1, &["could not connect to db2", "Connection refused"]);
    pair.db2.sshd().restart().unwrap();
    pair.arrives();
}

#[test]
fn a_killed_rsync_leaves_a_whole_file_or_none() {
    let mut pair = without_our_commands();
    for call in 1..6 {
        let kill = format!("inject=rename,renameat,renameat2,write:signal=KILL:when={call}");
        pair.force(&format!(
            "strace -f -qq -o /dev/null -e {kill} sh -c \"$SSH_ORIGINAL_COMMAND\""
        ));
        let output = pair.send();
        if !output.status.success() {
            pair.fails(&output, 1, &["db2"]);
        }
        pair.force("sh -c \"$SSH_ORIGINAL_COMMAND\"");
        pair.arrives();
        fs::remove_file(pair.archived(ONE)).unwrap();
    }
}
