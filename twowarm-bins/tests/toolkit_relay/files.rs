//! Other files than segments, and retention.

use std::fs;
use std::time::{Duration, SystemTime};

use twowarm_core::data_directory::lock_directory;
use twowarm_core::receipt::{Receipt, ReceiptFile};
use twowarm_core::testbed::{Node, StopMode, finish};

use crate::nodes::{Three, archived, has_rows, holds, said};

#[test]
fn histories_partial_and_backup_files_are_relayed() {
    let three = Three::stopped();
    let names = [three.ship(), three.ship()];
    three.db1.stop(StopMode::Fast).unwrap();
    let archive = three.db2.archive();
    let major = three.db1.install().major().unwrap();
    let number = u64::from_str_radix(&names[1][16..], 16).unwrap();
    let size = fs::metadata(three.db2.archive().join(&names[1])).unwrap().len();
    let position = format!("0/{:X}", number * size + 0x28);
    let wal = three.db1.pgdata().join(major.wal_directory());
    let backup = format!(
        "START WAL LOCATION: {position} (file {name})\nSTOP WAL LOCATION: {position} (file {name})\nCHECKPOINT LOCATION: {position}\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2025-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\nSTOP TIME: 2025-01-01 00:00:01 UTC\nSTOP TIMELINE: 1\n",
        name = names[1],
    );
    let backup_name = format!("{}.00000028.backup", names[1]);
    three.db2.run_as().write(&archive.join(&backup_name), &backup).unwrap();
    let mut partial = archived(&wal);
    partial.retain(|name| *name > names[1] && name.len() == 24);
    let tail = fs::read(wal.join(&partial[0])).unwrap();
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
    // Before 9.0 a restart point can't be requested.
    let removes = three.db3.install().major().unwrap().has_hot_standby();
    let mut names = Vec::new();
    let mut ship = |count: usize| {
        for _ in 0..count {
            three.db1.sql("checkpoint").unwrap();
            names.push(three.ship());
        }
        three.relay();
        has_rows(&three.db3, names.len());
        if removes {
            three.db3.sql("checkpoint").unwrap();
        }
        names.clone()
    };
    ship(6);
    let names = ship(6);
    let names = [names.as_slice(), &ship(1)[names.len()..]].concat();
    assert!(!removes || !holds(&three.db3, &names[2]), "{:?}", archived(&three.db3.archive()));
    assert!(names[7..].iter().all(|name| holds(&three.db3, name)));
}

#[test]
fn an_archive_without_a_standby_keeps_what_is_configured() {
    let three = Three::stopped();
    three.db3.append_settings("[archive]\nkeep_days = 2").unwrap();
    // All by which a directory shows that it has a cluster, or is to get one.
    for name in ["global/pg_control", "PG_VERSION", "standby.signal", "recovery.conf"] {
        let path = three.db3.pgdata().join(name);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
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

/// Flushes db1, which does not reach the DR node, and returns the receipt in db2's archive.
fn flush(three: &Three) -> Receipt {
    three.db1.write_local("replication/drnode", "").unwrap();
    finish(&mut three.db1.command("flushPrimary")).unwrap();
    Receipt::in_archive(&three.db2.archive()).unwrap().unwrap()
}

#[test]
fn the_receipt_of_a_clean_shutdown_is_relayed_and_void_there_too() {
    let three = Three::stopped();
    three.ship();
    three.relay();
    let receipt = flush(&three);
    three.relay();
    let partial = format!("{}.partial", receipt.segment);
    assert_eq!(Receipt::in_archive(&three.db3.archive()).unwrap(), Some(receipt));
    assert!(holds(&three.db3, &partial));
    three.relay();
    // The old primary is opened again.
    ReceiptFile::in_archive(&three.db2.archive()).remove().unwrap();
    fs::remove_file(three.db2.archive().join(&partial)).unwrap();
    // While another command uses the DR node's data directory, the receipt is left for the next run.
    let locked = lock_directory(&three.db3.pgdata()).unwrap();
    three.relay();
    assert!(holds(&three.db3, &partial));
    drop(locked);
    three.relay();
    assert_eq!(Receipt::in_archive(&three.db3.archive()).unwrap(), None);
    assert!(!holds(&three.db3, &partial));
}

/// rsyncDR was killed after the receipt was stored and before it had recorded that.
#[test]
fn a_receipt_is_void_on_the_dr_node_after_a_killed_relay_too() {
    let three = Three::stopped();
    three.ship();
    three.relay();
    let receipt = flush(&three);
    three.relay();
    let note = three.db2.local().join("replication/relay/db3");
    let text = fs::read_to_string(&note).unwrap();
    let [done, begun] = ["receipt", "delivering"].map(|word| format!("{word} {}\n", receipt.id));
    assert!(text.contains(&done), "{text}");
    let kill = || three.db2.run_as().write(&note, text.replace(&done, &begun)).unwrap();
    // It is delivered again, or made void.
    kill();
    three.relay();
    assert!(fs::read_to_string(&note).unwrap().contains(&done));
    kill();
    ReceiptFile::in_archive(&three.db2.archive()).remove().unwrap();
    three.relay();
    assert_eq!(Receipt::in_archive(&three.db3.archive()).unwrap(), None);
}

/// A standby that streams does not get the segments that its primary has relayed while it was down.
#[test]
fn segments_that_only_the_dr_node_has_are_passed_over() {
    let three = Three::stopped();
    let names: Vec<String> = (0..6).map(|_| three.ship()).collect();
    for name in &names[1..4] {
        let (here, there) = (three.db2.archive().join(name), three.db3.archive().join(name));
        three.db3.run_as().write(&there, fs::read(&here).unwrap()).unwrap();
        fs::remove_file(here).unwrap();
    }
    three.relay();
    assert!(names.iter().all(|name| holds(&three.db3, name)));
    assert!(three.floor() > names[5]);
    // More than are looked for by name.
    let names: Vec<String> = (0..40).map(|_| three.ship()).collect();
    for name in &names[..38] {
        let (here, there) = (three.db2.archive().join(name), three.db3.archive().join(name));
        three.db3.run_as().write(&there, fs::read(&here).unwrap()).unwrap();
        fs::remove_file(here).unwrap();
    }
    three.relay();
    assert!(three.floor() > names[39] && holds(&three.db3, &names[39]));
    // One that neither has.
    let names: Vec<String> = (0..3).map(|_| three.ship()).collect();
    fs::remove_file(three.db2.archive().join(&names[1])).unwrap();
    three.relay();
    assert!(holds(&three.db3, &names[0]) && !holds(&three.db3, &names[2]));
    assert_eq!(three.floor(), names[1]);
    let note = three.db2.local().join("replication/relay/db3");
    let text = fs::read_to_string(&note).unwrap();
    let stuck = text.lines().find(|line| line.starts_with("stuck ")).unwrap();
    let earlier = text.replace(stuck, &format!("stuck {} 1000", names[1]));
    three.db2.run_as().write(&note, earlier).unwrap();
    let output = crate::nodes::rsync_dr(&three.db2).output().unwrap();
    let text = said(&output);
    assert!(text.contains(&format!("{} is missing in the archive", names[1])), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// The number of system calls by which a run looks into the archive. Others depend on the load of the machine.
fn calls(node: &Node) -> usize {
    let trace = node.home().join("trace");
    let mut command = node.program("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace);
    let output = command.arg(node.global().join("replication/rsyncDR")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let archive = node.archive().display().to_string();
    let trace = fs::read_to_string(&trace).unwrap();
    trace.lines().filter(|line| line.contains(&archive) || line.contains("getdents")).count()
}

#[test]
fn a_run_costs_the_same_in_a_large_archive() {
    let three = Three::stopped();
    for _ in 0..20 {
        three.ship();
    }
    three.relay();
    let mut counts = Vec::new();
    for (from, to) in [(0, 100), (100, 20_000)] {
        // Segments that are not to be relayed, because they are those of an abandoned timeline.
        for number in from..to {
            let name = format!("00000009{:08X}{:08X}", 0xF000 + number / 256, number % 256);
            fs::write(three.db2.archive().join(name), "").unwrap();
        }
        // The first run lists it.
        three.relay();
        let idle = calls(&three.db2);
        three.ship();
        counts.push((idle, calls(&three.db2)));
    }
    // A small directory is listed when it has changed.
    assert!(counts[1].0 <= counts[0].0 && counts[1].1 <= counts[0].1, "{counts:?}");
}
