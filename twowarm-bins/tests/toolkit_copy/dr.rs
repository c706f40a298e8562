use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use twowarm_core::testbed::{Node, StopMode, finish};

use crate::copies::{Trio, is_clean, sum, takes_backups_of_standbys};
use crate::pair::{set_mode, succeeds, wait_for_rows};

/// Starts the copy, which is complete by the WAL that it was given, lets it replay more, promotes it and counts its rows.
fn replays_and_is_promoted(trio: &Trio, table: &str, rows: u32) {
    let db3 = &trio.db3;
    db3.start_warm().unwrap();
    wait_for_rows(db3, table, rows);
    assert!(db3.is_in_recovery().unwrap());
    trio.pair.fill("after", 5000);
    trio.follow();
    wait_for_rows(db3, "after", 5000);
    trio.pair.db1.stop(StopMode::Immediate).unwrap();
    succeeds(db3.command("triggerStandby"));
    trio.pair.db1.start().unwrap();
    for table in ["first", table, "after"] {
        assert_eq!(sum(db3, table), sum(&trio.pair.db1, table), "{table}");
    }
    db3.sql("insert into after values (0, '')").unwrap();
}

/// What the copy says, and that nothing is left behind.
fn made(trio: &Trio, source: &Node) -> String {
    let said = succeeds(source.command("copyToDR"));
    for part in ["The WAL of the copy is shipped to db3:", "begins in WAL file", "All ", "rsyncDR"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    [source, &trio.db3].into_iter().for_each(is_clean);
    said
}

#[test]
fn a_dr_node_is_copied_from_the_primary_while_the_standby_gets_its_wal() {
    let trio = Trio::new();
    trio.pair.fill("second", 1000);
    made(&trio, &trio.pair.db1);
    // The standby has not missed anything.
    trio.pair.ship();
    trio.pair.wait_for_rows("second", 1000);
    replays_and_is_promoted(&trio, "second", 1000);
}

#[test]
fn a_dr_node_is_copied_from_the_standby_under_load() {
    let trio = Trio::new();
    if !takes_backups_of_standbys(&trio.pair.db2) {
        return;
    }
    trio.pair.fill("busy", 200_000);
    trio.pair.ship();
    trio.pair.wait_for_rows("busy", 200_000);
    let own = fs::read(trio.pair.db2.local().join("postgresql.conf")).unwrap();
    let ended = AtomicBool::new(false);
    let mut load = trio.pair.db1.client().unwrap();
    let switch = trio.pair.db1.install().major().unwrap().switch_wal();
    std::thread::scope(|scope| {
        // The standby replays changes of the files that are copied.
        let busy = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                load.batch_execute("update busy set md5 = md5(md5) where n % 3000 = 0").unwrap();
                load.batch_execute(switch).unwrap();
                load.batch_execute("checkpoint").unwrap();
            }
        });
        let copied = finish(&mut trio.pair.db2.command("copyToDR"));
        ended.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        copied.unwrap();
    });
    [&trio.pair.db2, &trio.db3].into_iter().for_each(is_clean);
    assert_eq!(fs::read(trio.pair.db2.local().join("postgresql.conf")).unwrap(), own);
    assert!(!trio.pair.db2.local().join("replication/archiving_active").exists());
    // The archive of db3 belongs to the primary, from which db2 has its WAL.
    let owner = |node: &Node| fs::read_to_string(node.archive().join(".owner")).unwrap();
    assert_eq!(owner(&trio.db3), owner(&trio.pair.db2));
    replays_and_is_promoted(&trio, "busy", 200_000);
}

#[test]
fn a_warm_standby_that_answers_queries_is_copied_too() {
    let trio = Trio::new();
    if !takes_backups_of_standbys(&trio.pair.db2) {
        return;
    }
    trio.pair.db2.stop(StopMode::Fast).unwrap();
    set_mode(&trio.pair.db2, "warm");
    succeeds(trio.pair.db2.command("configStandby"));
    trio.pair.fill("second", 1000);
    trio.pair.ship();
    trio.pair.db2.start_warm().unwrap();
    trio.pair.wait_for_rows("second", 1000);
    made(&trio, &trio.pair.db2);
    replays_and_is_promoted(&trio, "second", 1000);
}

/// WAL has the other half.
#[test]
fn a_copy_uses_half_of_the_rate_limit() {
    let trio = Trio::new();
    let db1 = &trio.pair.db1;
    let settings = fs::read_to_string(db1.local().join("2warm.toml")).unwrap();
    let section = format!("[node.{}]", trio.db3.name());
    assert!(settings.contains(&section), "{settings}");
    let limited = settings.replace(&section, &format!("{section}\nrate_limit = {}", 16 << 20));
    db1.write_local("2warm.toml", limited).unwrap();
    let begun = Instant::now();
    made(&trio, db1);
    let size = db1.sql("select sum(pg_database_size(oid)) from pg_database").unwrap();
    let at_least = size.parse::<f64>().unwrap() / f64::from(8 << 20) / 2.0;
    assert!(begun.elapsed().as_secs_f64() > at_least, "{:?} for {size}", begun.elapsed());
}
