use std::fs;
use std::io::{Read, Seek, SeekFrom};

use twowarm_core::wal::Lsn;

use crate::pair::{Client, Pair, rows};

/// Flushes db1 while a session inserts rows, promotes db2 and counts them.
fn no_row_is_lost(mode: &str) {
    let pair = Pair::new(mode);
    let before = rows(&pair.db1).unwrap();
    let client = Client::start(&pair.db1);
    let said = pair.on_db1("flushPrimary", &["--wait", "0"]);
    let written = client.was_ended();
    // Before 8.4 a session is ended by the shutdown.
    let major = pair.db1.install().major().unwrap();
    let is_told = said.contains("Terminated 1 session\n");
    assert!(written > 0 && is_told == major.can_terminate_sessions(), "{said}");
    assert!(said.contains("db2 holds all WAL up to the end, and the receipt"), "{said}");
    assert!(pair.db1.pid().is_none());

    let receipt = pair.receipt().unwrap();
    assert_eq!(pair.tails(), [format!("{}.partial", receipt.segment)]);
    assert!(!pair.db2.archive().join(receipt.segment.to_string()).exists());
    assert!(pair.db2.is_in_recovery().unwrap(), "{mode}");

    pair.on_db2("triggerStandby", &[]);
    // The session may have been terminated between a commit and its acknowledgment.
    let expected = before + written;
    let found = rows(&pair.db2).unwrap();
    assert!((expected..=expected + 1).contains(&found), "{mode}: {found} of {expected}");
    if major.promotes_to_new_timeline() {
        assert_eq!(pair.db2.timeline().unwrap(), 2);
        let wal = pair.db2.pgdata().join(major.wal_directory());
        let history = fs::read_to_string(wal.join("00000002.history")).unwrap();
        // Through 9.2 it names the segment.
        let found = history.split_whitespace().nth(1).unwrap();
        // 19 writes all digits of it.
        let is_end = found.parse::<Lsn>().is_ok_and(|fork| fork == receipt.end);
        assert!(is_end || found == receipt.segment.to_string(), "{history}");
    }
    // 8.2 continues the timeline, and its segment.
    let continued = pair.db2.archive().join(receipt.segment.to_string()).exists();
    assert!(!continued || !major.promotes_to_new_timeline());
    // Two primaries would continue the same WAL.
    let said = pair.fails("flushPrimary", &["--undo"]);
    assert!(said.contains("must not be started") && said.contains("db2 was promoted"), "{said}");
    assert_eq!(pair.receipt(), Some(receipt));
}

#[test]
fn a_switchover_in_standby_mode_loses_no_row() {
    no_row_is_lost("standby");
}

#[test]
fn a_switchover_in_warm_mode_loses_no_row() {
    no_row_is_lost("warm");
}

/// The original copied recycled files too, and the tail under its plain name promoted a standby in warm mode.
#[test]
fn the_tail_contains_nothing_else_and_promotes_no_standby() {
    let pair = Pair::new("warm");
    // Segments are recycled under the names of later ones.
    for _ in 0..4 {
        pair.flows(5000);
        pair.db1.sql("checkpoint").unwrap();
    }
    pair.on_db1("flushPrimary", &[]);
    let receipt = pair.receipt().unwrap();
    let mut tail = fs::File::open(pair.db2.archive().join(&pair.tails()[0])).unwrap();
    let size = tail.metadata().unwrap().len();
    tail.seek(SeekFrom::Start(receipt.end.0 % size)).unwrap();
    let mut behind = Vec::new();
    tail.read_to_end(&mut behind).unwrap();
    assert!(!behind.is_empty() && behind.iter().all(|byte| *byte == 0));

    // The same server again, without --undo, by editing pg_hba.conf: its segment arrives under its plain name.
    let hba = pair.db1.pgdata().join("pg_hba.conf");
    let text = fs::read_to_string(&hba).unwrap();
    let (_, own) = text.split_once("# flushPrimary: end\n").unwrap();
    pair.db1.run_as().write(&hba, own).unwrap();
    pair.db1.start().unwrap();
    pair.flows(100);
    assert!(pair.db2.is_in_recovery().unwrap());
    assert!(pair.db2.archive().join(receipt.segment.to_string()).exists());
    pair.on_db1("flushPrimary", &[]);
    let next = pair.receipt().unwrap();
    assert!(next.segment > receipt.segment);
    assert_eq!(pair.tails(), [format!("{}.partial", next.segment)]);
    let expected = {
        pair.on_db2("triggerStandby", &[]);
        rows(&pair.db2)
    };
    assert_eq!(expected, Some(100 + 4 * 5000 + 100));
}

/// Nothing is left to do, and the same receipt is delivered again.
#[test]
fn a_flush_can_be_repeated() {
    let pair = Pair::new("standby");
    pair.on_db1("flushPrimary", &[]);
    let receipt = pair.receipt();
    let said = pair.on_db1("flushPrimary", &[]);
    assert!(said.starts_with("db2 can be reached\nThe server is already stopped\n"), "{said}");
    assert_eq!(pair.receipt(), receipt);
}
