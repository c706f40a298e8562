use std::fs;

use twowarm_core::receipt::{Receipt, ReceiptId};
use twowarm_core::testbed::StopMode;
use twowarm_core::wal::Lsn;

use crate::pair::{Pair, fails, succeeds};
use crate::switching::{can_rejoin, flush, receipt_of, rejoin, trigger};

fn refused(pair: &Pair, words: &[&str]) -> String {
    let said = fails(rejoin(&pair.db1), 1);
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    for name in ["standby.signal", "recovery.signal", "recovery.conf", ".twowarm_rejoin"] {
        assert!(!pair.db1.pgdata().join(name).exists(), "{name}");
    }
    said
}

#[test]
fn only_a_node_exactly_at_its_receipt_rejoins() {
    let pair = Pair::with_standby_in("standby");
    if !can_rejoin(&pair) {
        return;
    }
    let db1 = &pair.db1;
    let receipt_file = db1.local().join("replication/receipt");
    refused(&pair, &["a server is running"]);
    let receipt = flush(db1, &pair.db2);
    let write = |receipt: &Receipt| db1.write_local("replication/receipt", receipt.to_string());
    // Not promoted yet.
    refused(&pair, &["no history of a timeline", "triggerStandby"]);
    succeeds(trigger(&pair.db2, &["--require-receipt"]));

    fs::remove_file(&receipt_file).unwrap();
    refused(&pair, &["there is no receipt", "copyToStandby"]);
    write(&Receipt { system_identifier: 42, ..receipt.clone() }).unwrap();
    refused(&pair, &["system identifier", "copyToStandby"]);
    write(&Receipt { checkpoint: Lsn(receipt.checkpoint.0 - 8), ..receipt.clone() }).unwrap();
    refused(&pair, &["started again"]);
    write(&Receipt { end: Lsn(receipt.end.0 + 8), ..receipt.clone() }).unwrap();
    refused(&pair, &["ends at"]);
    fs::write(&receipt_file, "version=1\n").unwrap();
    refused(&pair, &["invalid receipt"]);
    write(&receipt).unwrap();

    // The new primary did not replay all.
    let history = db1.archive().join("00000002.history");
    let text = fs::read_to_string(pair.db2.archive().join("00000002.history")).unwrap();
    let earlier = format!("1\t{}\tno recovery target specified\n", receipt.checkpoint);
    db1.run_as().write(&history, earlier).unwrap();
    refused(&pair, &["forked from timeline 1", &receipt.checkpoint.to_string(), "copyToStandby"]);
    db1.run_as().write(&history, text).unwrap();

    // It was started again, and stopped cleanly.
    fs::remove_file(db1.local().join("replication/archiving_active")).unwrap();
    db1.start().unwrap();
    db1.sql("create table lost (n int)").unwrap();
    db1.stop(StopMode::Fast).unwrap();
    refused(&pair, &["was started again", "copyToStandby"]);
    // Even with a receipt for that: it is not where the timeline forked.
    let again = receipt_of(db1);
    write(&Receipt { id: ReceiptId::random().unwrap(), ..again }).unwrap();
    refused(&pair, &["forked from timeline 1", "copyToStandby"]);
}

#[test]
fn a_primary_that_crashed_does_not_rejoin() {
    let pair = Pair::with_standby_in("standby");
    if !can_rejoin(&pair) {
        return;
    }
    flush(&pair.db1, &pair.db2);
    succeeds(trigger(&pair.db2, &[]));
    fs::remove_file(pair.db1.local().join("replication/archiving_active")).unwrap();
    pair.db1.start().unwrap();
    pair.db1.stop(StopMode::Immediate).unwrap();
    refused(&pair, &["in production", "copyToStandby"]);
    let in_file = !pair.db1.install().major().unwrap().has_recovery_signal();
    let signal = if in_file { "recovery.conf" } else { "standby.signal" };
    pair.db1.run_as().write(&pair.db1.pgdata().join(signal), "").unwrap();
    let said = fails(rejoin(&pair.db1), 1);
    assert!(said.contains("holds a standby already"), "{said}");
}
