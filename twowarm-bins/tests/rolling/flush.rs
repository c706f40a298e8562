use twowarm_core::testbed::{StopMode, finish, names_in};

use crate::pair::{Pair, replace};

fn flush(pair: &Pair) {
    pair.db1.stop(StopMode::Fast).unwrap();
    finish(&mut pair.db1.command("flushPrimary")).unwrap();
}

fn foreign(pair: &Pair) -> bool {
    names_in(&pair.db2.archive()).iter().any(|name| name.ends_with(".foreign"))
}

/// The original flushPrimary with other commands of twowarm.
#[test]
fn a_segment_copied_by_flush_primary_neither_opens_a_standby_nor_stops_archiving() {
    let mut pair = Pair::new();
    for name in ["receiveWALFile", "configSetup", "restoreWALFile", "triggerStandby"] {
        replace(&pair.db2, name);
    }
    for name in ["configSetup", "archiveWALFile"] {
        replace(&pair.db1, name);
    }
    // Segments that are recycled under the names of later ones.
    for _ in 0..3 {
        pair.flows();
        pair.db1.sql("checkpoint").unwrap();
    }
    flush(&pair);
    // The primary is started again.
    pair.db1.start().unwrap();
    for _ in 0..8 {
        pair.flows();
    }
    assert!(foreign(&pair), "recycled files are set aside");
    assert!(pair.db2.is_in_recovery().unwrap());

    pair.db1.sql("insert into t select generate_series(1, 500)").unwrap();
    flush(&pair);
    finish(&mut pair.db2.command("triggerStandby")).unwrap();
    assert_eq!(pair.seen(), Some(pair.rows + 500));
}
