use std::fs;

use twowarm_core::testbed::finish;

use crate::pair::{Client, Pair};

#[test]
fn a_flush_that_is_refused_changes_nothing() {
    let mut pair = Pair::new("standby");
    let client = Client::start(&pair.db1);
    let said = finish(&mut pair.db2.command("flushPrimary")).unwrap_err().to_string();
    assert!(said.contains("contains a standby. HINT: run flushPrimary on the primary"), "{said}");

    let active = pair.db1.local().join("replication/archiving_active");
    fs::remove_file(&active).unwrap();
    let said = pair.fails("flushPrimary", &[]);
    assert!(said.contains("archiving is not active"), "{said}");
    pair.db1.write_local("replication/archiving_active", "").unwrap();

    pair.db2.sshd().stop();
    let said = pair.fails("flushPrimary", &["--wait", "0"]);
    assert!(said.contains("db2"), "{said}");
    pair.is_as_before();
    assert!(client.stop() > 0, "its session was not ended");
    assert!(pair.db1.client().is_ok());
}

/// The standby may have been promoted.
#[test]
fn undo_refuses_while_the_standby_cannot_be_asked() {
    let mut pair = Pair::new("standby");
    pair.on_db1("flushPrimary", &[]);
    pair.db2.sshd().stop();
    let said = pair.fails("flushPrimary", &["--undo"]);
    assert!(said.contains("could not void the receipt on db2"), "{said}");
    assert!(said.contains("--undo --force"), "{said}");
    assert!(pair.db1.local().join("replication/receipt").exists());
    let receipt = pair.receipt();
    pair.on_db1("flushPrimary", &["--undo", "--force"]);
    pair.db1.start().unwrap();
    pair.db1.sql("insert into t values (1)").unwrap();
    // triggerStandby --require-receipt would promote the standby without that row, until the receipt is void there too.
    assert_eq!(pair.receipt(), receipt);
    pair.db2.sshd().restart().unwrap();
    pair.on_db1("flushPrimary", &["--undo"]);
    pair.is_as_before();
    pair.flows(10);
}
