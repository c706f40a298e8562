use std::time::Instant;

use twowarm_core::testbed::StopMode;

use crate::pair::{Pair, set_mode, succeeds};
use crate::switching::{can_rejoin, flush, rejoin, trigger};

/// The time of a rejoin does not depend on the size of the cluster.
#[test]
fn a_rejoin_of_hundreds_of_megabytes_takes_seconds() {
    let pair = Pair::new();
    set_mode(&pair.db1, "standby");
    set_mode(&pair.db2, "standby");
    pair.fill("first", 1000);
    pair.make_standby();
    // Without WAL from 9.1 on: the size is that of the cluster only.
    let kind =
        if pair.db1.install().major().unwrap().has_unlogged_tables() { "unlogged" } else { "" };
    let big = format!(
        "create {kind} table big as select n, repeat(md5(n::text), 8) t from generate_series(1, 700000) n"
    );
    pair.db1.sql(&big).unwrap();
    let size = pair.db1.sql("select pg_total_relation_size('big') / 1048576").unwrap();
    let size: u64 = size.parse().unwrap();
    assert!(size > 190, "{size} MB");
    if !can_rejoin(&pair) {
        return;
    }
    flush(&pair.db1, &pair.db2);
    succeeds(trigger(&pair.db2, &["--require-receipt"]));
    let start = Instant::now();
    succeeds(rejoin(&pair.db1));
    let took = start.elapsed();
    let start = Instant::now();
    // Before 9.0 a standby does not answer queries.
    match pair.db1.install().major().unwrap().has_hot_standby() {
        true => pair.db1.start().unwrap(),
        false => pair.db1.start_warm().unwrap(),
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    println!(
        "rejoin of {size} MB: {:.2} s, and {:.2} s until it answers queries",
        took.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    assert!(took.as_secs() < 10, "{took:?}");
    assert!(pair.db1.is_in_recovery().unwrap());
}

/// triggerStandby beside `pg_ctl promote`, with nothing left to replay.
#[test]
fn a_failover_with_an_empty_backlog_takes_no_longer_than_the_servers_own() {
    let open = |node: &twowarm_core::testbed::Node| {
        while node.sql("create table opened ()").is_err() {}
    };
    let mut figures = Vec::new();
    for ours in [true, false] {
        let pair = Pair::with_standby_in("standby");
        // Before 9.1 there is no pg_ctl promote.
        if !ours && !pair.db1.install().major().unwrap().has_standby_mode_promotion() {
            continue;
        }
        pair.fill("last", 10);
        pair.ship();
        pair.wait_for_rows("last", 10);
        pair.db1.stop(StopMode::Immediate).unwrap();
        let start = Instant::now();
        let said = match ours {
            true => succeeds(trigger(&pair.db2, &[])),
            false => pair.db2.pg_ctl(&["promote", "-w"]).unwrap(),
        };
        open(&pair.db2);
        let took = start.elapsed();
        let line = said.lines().find(|line| line.contains("s from trigger")).unwrap_or_default();
        figures.push(format!(
            "{} {:.2} s {line}",
            if ours { "triggerStandby" } else { "pg_ctl" },
            took.as_secs_f64()
        ));
    }
    println!("{}", figures.join("\n"));
}
