use std::fs;

use twowarm_core::testbed::StopMode;

use crate::pair::{ONE, Pair, said};

/// Copies the node id to db2, as the original distrib2warm did: it copied the whole tree.
fn copied(pair: &Pair) {
    let id = fs::read(pair.db1.local().join("replication/node_id")).unwrap();
    pair.db2.write_local("replication/node_id", id).unwrap();
}

/// Asserts that db1's second segment, which has not been sent, is sent now.
fn is_sent(pair: &Pair, name: &str) {
    pair.db1.start().unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    pair.db1.sql("create table t (n int); select pg_switch_wal()").unwrap();
    pair.db1.stop(StopMode::Immediate).unwrap();
    let output = pair.archive(&format!("pg_wal/{name}"), name);
    assert!(output.status.success(), "{}", said(&output));
    assert!(pair.archived(name).exists());
}

/// Regression: the hint was to remove the file on one of the nodes. Doing so on the sender made a new base copy
/// necessary.
#[test]
fn a_node_id_that_was_copied_is_removed_where_the_message_says() {
    let pair = Pair::new();
    pair.arrives();
    let sender_id = fs::read(pair.db1.local().join("replication/node_id")).unwrap();
    copied(&pair);
    let output = pair.archive(&format!("pg_wal/{ONE}"), ONE);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let file = pair.db2.local().join("replication/node_id");
    let advice = format!("remove {file:?} on the receiving node (");
    assert!(text.contains(&advice) && text.contains("db2 refused"), "{text}");

    // Following the hint is enough.
    fs::remove_file(&file).unwrap();
    is_sent(&pair, "000000010000000000000002");
    assert_ne!(fs::read(&file).unwrap(), sender_id);
    assert_eq!(fs::read(pair.db1.local().join("replication/node_id")).unwrap(), sender_id);
}

/// The file was removed on the sender, or overwritten by a copy from the other node.
#[test]
fn a_sender_whose_node_id_was_lost_gets_it_back() {
    let pair = Pair::new();
    pair.arrives();
    let file = pair.db1.local().join("replication/node_id");
    let before = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let output = pair.archive(&format!("pg_wal/{ONE}"), ONE);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    if !std::path::Path::new("/etc/machine-id").exists() {
        // Without a machine id the node can't be told from a clone.
        assert!(text.contains("belongs to the sender"), "{text}");
        return;
    }
    let advice = format!("write {} into ", before.trim());
    assert!(text.contains(&advice) && text.contains(file.to_str().unwrap()), "{text}");
    pair.db1.write_local("replication/node_id", before).unwrap();
    is_sent(&pair, "000000010000000000000002");
}
