use std::fs;

use crate::pair::{Pair, succeeds};
use crate::switching::{flush, trigger};

#[test]
fn without_a_node_that_can_follow_archiving_goes_off() {
    let pair = Pair::with_standby();
    let active = pair.db2.local().join("replication/archiving_active");
    fs::write(&active, "").unwrap();
    let said = succeeds(trigger(&pair.db2, &["fast", "--no-wait"]));
    assert!(said.contains("Archiving is off") && said.contains("copyToStandby"), "{said}");
    assert!(!active.exists());
}

#[test]
fn for_the_dr_node_archiving_is_on_before_the_promotion() {
    let pair = Pair::with_standby();
    pair.db2.write_local("replication/drnode", "db3\n").unwrap();
    pair.db2.append_settings("[restore]\nrestore_from = []").unwrap();
    let active = pair.db2.local().join("replication/archiving_active");
    let said = succeeds(trigger(&pair.db2, &["fast", "--no-wait"]));
    assert!(said.contains("shipped to the DR node"), "{said}");
    assert!(active.exists());
}

#[test]
fn with_a_receipt_archiving_is_on_unless_not_all_is_replayed() {
    let pair = Pair::with_standby();
    let active = pair.db2.local().join("replication/archiving_active");
    flush(&pair.db1, &pair.db2);
    let said = succeeds(trigger(&pair.db2, &["--no-wait"]));
    assert!(said.contains("shipped to the old one"), "{said}");
    assert!(active.exists());
    let other = Pair::with_standby();
    flush(&other.db1, &other.db2);
    let said = succeeds(trigger(&other.db2, &["fast", "--no-wait"]));
    assert!(said.contains("Archiving is off"), "{said}");
}
