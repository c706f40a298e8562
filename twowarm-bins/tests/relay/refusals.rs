//! What is refused is never relayed.

use std::fs;

use crate::trio::Trio;

impl Trio {
    /// Archiving fails with these words, and the DR node is not asked.
    fn is_refused(&self, words: &[&str]) {
        for _ in 0..2 {
            let connections = self.to_db3.connections();
            self.fails(words);
            assert_eq!(self.to_db3.connections(), connections);
            assert!(!self.memory().exists());
        }
        assert!(!self.db3.archive().join(&self.one).exists());
    }
}

#[test]
fn a_standby_that_refuses_is_not_down() {
    let mut trio = Trio::new();
    trio.succeeds();
    let owner = trio.db2.archive().join(".owner");
    let bound = fs::read_to_string(&owner).unwrap();
    let segment = trio.db2.archive().join(&trio.one);
    let sent = fs::read(&segment).unwrap();
    let write = |path, text: &[u8]| trio.db2.run_as().write(path, text).unwrap();

    // Another sender, another machine, another cluster.
    let id = fs::read_to_string(trio.db1.local().join("replication/node_id")).unwrap();
    write(&owner, bound.replace(id.trim(), "another").replace("label=", "label=x").as_bytes());
    trio.is_refused(&["db2 refused", "belongs to the sender"]);
    let lines = bound.lines().take(4).map(|line| format!("{line}\n")).collect::<String>();
    if bound.contains("machine=") {
        write(&owner, format!("{lines}machine=another\n").as_bytes());
        trio.is_refused(&["db2 refused", "clone"]);
    }
    let other = bound.replacen("system_identifier=", "system_identifier=1", 1);
    write(&owner, other.as_bytes());
    trio.is_refused(&["db2 refused", "belongs to the cluster"]);
    write(&owner, bound.as_bytes());

    // A conflict, and a fork before this segment.
    let mut different = sent.clone();
    different[9000] ^= 1;
    write(&segment, &different);
    trio.is_refused(&["db2 refused", "different content"]);
    fs::remove_file(&segment).unwrap();
    let history = trio.db2.archive().join("00000002.history");
    write(&history, b"1\t0/28\tno recovery target specified\n");
    trio.is_refused(&["db2 refused", "not part of the cluster's history"]);
    fs::remove_file(&history).unwrap();

    // Another program.
    let key = trio.db1.key().clone();
    trio.db2.sshd().authorize(&key, Some("echo Welcome")).unwrap();
    trio.is_refused(&["db2", "login script"]);
    trio.db2.sshd().refuse(&key).unwrap();
    trio.is_refused(&["db2 (127.0.0.1:", "refused the login"]);
    trio.db2.sshd().authorize(&key, None).unwrap();

    // An unknown host key, and a changed one.
    let known = fs::read_to_string(trio.db1.known_hosts()).unwrap();
    let port = format!("[127.0.0.1]:{} ", trio.to_db2.port());
    let without: String = known.split_inclusive('\n').filter(|l| !l.starts_with(&port)).collect();
    let write = |text: &str| trio.db1.run_as().write(&trio.db1.known_hosts(), text).unwrap();
    write(&without);
    trio.is_refused(&["db2 (127.0.0.1:", "is not known"]);
    write(&format!("{without}{port}{}\n", trio.db1.copy_key().public()));
    trio.is_refused(&["db2 (127.0.0.1:", "has changed"]);
    write(&known);
    trio.succeeds();
    trio.is_on(&[&trio.db2]);
}

#[test]
fn a_damaged_segment_goes_nowhere() {
    let mut trio = Trio::new();
    let content = trio.content();
    let mut damaged = content.clone();
    damaged[500_000] ^= 1;
    trio.set_content(&damaged);
    trio.fails(&["is not shipped", "damaged"]);
    trio.db2.sshd().stop();
    trio.standby_is_not_due();
    trio.fails(&["is not shipped", "damaged"]);
    assert!(!trio.db3.archive().join(&trio.one).exists());
    trio.set_content(&content);
    trio.succeeds();
    trio.is_on(&[&trio.db3]);
}

/// A DR node that does not accept this node's WAL is reported, and the standby is tried although it is not due.
#[test]
fn a_dr_node_that_refuses_is_reported() {
    let mut trio = Trio::new();
    let owner = "version=1\nsystem_identifier=1\nnode_id=x\nlabel=x\n";
    trio.db3.run_as().write(&trio.db3.archive().join(".owner"), owner).unwrap();
    trio.standby_is_not_due();
    assert!(trio.succeeds().contains("db2 can be reached again"));
    trio.is_on(&[&trio.db2]);
    trio.db2.sshd().stop();
    trio.fails(&[
        "ERROR: db2 (127.0.0.1:",
        "; db3 refused",
        "belongs to the cluster",
        "configStandby",
    ]);
    trio.is_on(&[]);
}
