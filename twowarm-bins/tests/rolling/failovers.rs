use std::fs;

use twowarm_core::testbed::{StopMode, finish};

use crate::pair::{Pair, copy, put_back, replace};

/// Which commands on the standby are ours, and whether the trigger is fast.
struct Case {
    ours: Vec<&'static str>,
    fast: bool,
}

/// Each mixture of the commands that a failover needs.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for trigger in [None, Some("triggerStandby")] {
        for setup in [None, Some("configSetup")] {
            let restores = [vec![], vec!["pg_standby"], vec!["restoreWALFile"]];
            for (number, restore) in restores.into_iter().enumerate() {
                // Each pair of a trigger command and a restore command is tried both smart and fast.
                let fast = setup.is_some() != (number == 1);
                let ours = restore.into_iter().chain(trigger).chain(setup).collect();
                cases.push(Case { ours, fast });
            }
        }
    }
    cases
}

const ALL: [&str; 4] = ["configSetup", "pg_standby", "restoreWALFile", "triggerStandby"];

#[test]
fn a_failover_works_with_each_mixture_of_commands() {
    let mut pair = Pair::new();
    replace(&pair.db2, "receiveWALFile");
    let segment = fs::metadata(pair.db1.pgdata().join("pg_wal/000000010000000000000001"));
    let segment = segment.map_or(1 << 20, |found| found.len()).to_string();
    for case in cases() {
        for name in ALL {
            if case.ours.contains(&name) {
                replace(&pair.db2, name);
            } else {
                put_back(&pair.db2, name, &segment);
            }
        }
        pair.flows();
        fails_over(&mut pair, &case);
    }
}

/// Promotes the standby, then restores its data directory and makes it a standby again.
fn fails_over(pair: &mut Pair, case: &Case) {
    pair.db2.stop(StopMode::Fast).unwrap();
    if !case.fast {
        // This segment is not replayed before the trigger is written.
        pair.ship();
    }
    let (db2, data) = (&pair.db2, pair.db2.pgdata());
    let aside = pair.db2.home().join("aside");
    copy(db2, &data, &aside);
    db2.start_warm().unwrap();
    if case.fast {
        pair.arrives();
    }
    let what = format!("{:?}, fast: {}", case.ours, case.fast);

    let mut trigger = db2.command("triggerStandby");
    trigger.args(case.fast.then_some("fast"));
    finish(&mut trigger).unwrap_or_else(|error| panic!("{what}: {error}\n{}", db2.log()));
    db2.wait_for_promotion().unwrap_or_else(|error| panic!("{what}: {error}"));
    db2.sql("create table written (n int)").unwrap();
    assert_eq!(pair.seen(), Some(pair.rows), "{what}");
    assert!(!data.join("trigger").exists(), "{what}");

    db2.stop(StopMode::Fast).unwrap();
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    db2.start_warm().unwrap();
    // Then its call of restore_command waits for a segment, and commands can be replaced.
    pair.arrives();
}
