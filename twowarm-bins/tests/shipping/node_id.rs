use std::fs;

use twowarm_core::testbed::StopMode;

use crate::pair::{ONE, Pair, said};

/// What the original distrib2warm does: the whole tree, with the files that are the node's own.
fn copied(pair: &Pair) {
    let id = fs::read(pair.db1.local().join("replication/node_id")).unwrap();
    pair.db2.write_local("replication/node_id", id).unwrap();
}

/// db1's second segment, which is still to be sent.
fn is_sent(pair: &Pair, name: &str) {
    pair.db1.start().unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    pair.db1.sql("create table t (n int); select pg_switch_wal()").unwrap();
    pair.db1.stop(StopMode::Immediate).unwrap();
    let output = pair.archive(&format!("pg_wal/{name}"), name);
    assert!(output.status.success(), "{}", said(&output));
    assert!(pair.archived(name).exists());
}

/// The advice was to remove it on one of the two nodes, and on the sender that led to a new base copy.
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
    let advice = format!("remove {} on the node that receives (", file.display());
    assert!(text.contains(&advice) && text.contains("db2 refused"), "{text}");

    // Exactly that, and nothing else.
    fs::remove_file(&file).unwrap();
    is_sent(&pair, "000000010000000000000002");
    assert_ne!(fs::read(&file).unwrap(), sender_id);
    assert_eq!(fs::read(pair.db1.local().join("replication/node_id")).unwrap(), sender_id);
}

/// It was removed on the sender all the same, or the copy went the other way.
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
        // Then nothing tells the node from a copy of it.
        assert!(text.contains("belongs to the sender"), "{text}");
        return;
    }
    let advice = format!("Write {} into ", before.trim());
    assert!(text.contains(&advice) && text.contains(file.to_str().unwrap()), "{text}");
    pair.db1.write_local("replication/node_id", before).unwrap();
    is_sent(&pair, "000000010000000000000002");
}
