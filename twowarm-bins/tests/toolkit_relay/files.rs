//! Other files than segments, and retention.

use std::fs;
use std::time::{Duration, SystemTime};

use twowarm_core::testbed::StopMode;

use crate::nodes::{Three, archived, has_rows, holds};

#[test]
fn histories_partial_and_backup_files_are_relayed() {
    let three = Three::stopped();
    let names = [three.ship(), three.ship()];
    three.db1.stop(StopMode::Fast).unwrap();
    let archive = three.db2.archive();
    let position = format!("0/{}00028", &names[1][18..]);
    let backup = format!(
        "START WAL LOCATION: {position} (file {name})\nSTOP WAL LOCATION: {position} (file {name})\nCHECKPOINT LOCATION: {position}\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2025-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\nSTOP TIME: 2025-01-01 00:00:01 UTC\nSTOP TIMELINE: 1\n",
        name = names[1],
    );
    let backup_name = format!("{}.00000028.backup", names[1]);
    three.db2.run_as().write(&archive.join(&backup_name), &backup).unwrap();
    let mut partial = archived(&three.db1.pgdata().join("pg_wal"));
    partial.retain(|name| *name > names[1] && name.len() == 24);
    let tail = fs::read(three.db1.pgdata().join("pg_wal").join(&partial[0])).unwrap();
    let partial_name = format!("{}.partial", partial[0]);
    three.db2.run_as().write(&archive.join(&partial_name), &tail).unwrap();
    three.relay();
    let mut expected = archived(&archive);
    expected.retain(|name| *name != "00000002.history");
    assert_eq!(archived(&three.db3.archive()), expected);
    assert!(holds(&three.db3, &backup_name) && holds(&three.db3, &partial_name));
    // Not again.
    fs::remove_file(three.db3.archive().join(&backup_name)).unwrap();
    three.relay();
    assert!(!holds(&three.db3, &backup_name));
    // Unless what was sent is forgotten.
    fs::remove_file(three.db2.local().join("replication/relay/db3")).unwrap();
    three.relay();
    assert!(holds(&three.db3, &backup_name));
}

#[test]
fn a_dr_node_keeps_segments_for_point_in_time_recovery() {
    let three = Three::new();
    three.db3.append_settings("[archive]\nkeep_segments = 6").unwrap();
    let mut names = Vec::new();
    let mut ship = |count: usize| {
        for _ in 0..count {
            three.db1.sql("checkpoint").unwrap();
            names.push(three.ship());
        }
        three.relay();
        has_rows(&three.db3, names.len());
        three.db3.sql("checkpoint").unwrap();
        names.clone()
    };
    ship(6);
    let names = ship(6);
    let names = [names.as_slice(), &ship(1)[names.len()..]].concat();
    assert!(!holds(&three.db3, &names[2]), "{:?}", archived(&three.db3.archive()));
    assert!(names[7..].iter().all(|name| holds(&three.db3, name)));
}

#[test]
fn an_archive_without_a_standby_keeps_what_is_configured() {
    let three = Three::stopped();
    three.db3.append_settings("[archive]\nkeep_days = 2").unwrap();
    fs::remove_file(three.db3.pgdata().join("global/pg_control")).unwrap();
    let names: Vec<String> = (0..4).map(|_| three.ship()).collect();
    three.relay();
    assert!(names.iter().all(|name| holds(&three.db3, name)));
    let old = SystemTime::now() - Duration::from_secs(3 * 86_400);
    for name in &names[..2] {
        let path = three.db3.archive().join(name);
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    three.ship();
    three.relay();
    assert!(names[2..].iter().all(|name| holds(&three.db3, name)));
    assert!(!names[..2].iter().any(|name| holds(&three.db3, name)));
}
