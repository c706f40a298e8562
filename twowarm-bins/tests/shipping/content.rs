use std::fs;

use twowarm_core::testbed::StopMode;

use crate::pair::{ONE, Pair, said};

/// Regression: a `.backup` file that was empty after a crash, since the server does not fsync it, stopped all
/// archiving.
#[test]
fn an_empty_backup_file_does_not_stop_archiving() {
    let pair = Pair::new();
    let name = format!("{ONE}.00000028.backup");
    let path = format!("pg_wal/{name}");
    pair.db1.run_as().write(&pair.db1.pgdata().join(&path), b"").unwrap();
    let output = pair.archive(&path, &name);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no server of this version reads it"), "{}", said(&output));
    assert_eq!(fs::read(pair.archived(&name)).unwrap(), b"");
    pair.arrives();
}

/// Regression: an empty history file was stored, and the right one refused as a conflict.
#[test]
fn an_empty_history_is_not_sent_and_is_replaced_by_the_right_one() {
    let pair = Pair::new();
    let name = "00000002.history";
    let path = format!("pg_wal/{name}");
    pair.db1.run_as().write(&pair.db1.pgdata().join(&path), b"").unwrap();
    pair.fails(&pair.archive(&path, name), 1, &["is not shipped", name, "has no ancestor"]);
    let right = b"1\t0/3000158\tno recovery target specified\n";
    pair.db2.run_as().write(&pair.archived(name), b"").unwrap();
    pair.db1.run_as().write(&pair.db1.pgdata().join(&path), right).unwrap();
    let output = pair.archive(&path, name);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read(pair.archived(name)).unwrap(), right);
    assert_eq!(fs::read(pair.archived("00000002.history.foreign")).unwrap(), b"");
}

#[test]
fn old_content_after_a_switch_is_not_a_conflict() {
    let pair = Pair::new();
    pair.db1.start().unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    pair.arrives();
    let mut other = fs::read(pair.archived(ONE)).unwrap();
    let end = other.len();
    other[end - (4 << 20)..].fill(0xAA);
    pair.db2.run_as().write(&pair.archived(ONE), &other).unwrap();
    let output = pair.send();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("already"), "{}", said(&output));
    assert!(fs::read(pair.archived(ONE)).unwrap() == other);
}

#[test]
fn a_conflict_with_what_was_replayed_asks_for_a_new_base_copy() {
    let pair = Pair::new();
    pair.arrives();
    let control = fs::read(pair.db1.pgdata().join("global/pg_control")).unwrap();
    let global = pair.db2.pgdata().join("global");
    pair.db2.run_as().make_dir(&global, 0o700).unwrap();
    pair.db2.run_as().write(&global.join("pg_control"), control).unwrap();
    let mut content = fs::read(pair.archived(ONE)).unwrap();
    content[9000] ^= 1;
    pair.db2.run_as().write(&pair.archived(ONE), &content).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for word in ["different content", "has replayed", "new base copy"] {
        assert!(said(&output).contains(word), "{}", said(&output));
    }
}

/// A primary that was cloned to another machine has the same node id and system identifier.
#[test]
fn the_same_node_on_another_machine_is_a_clone() {
    let pair = Pair::new();
    pair.arrives();
    let owner = pair.archived(".owner");
    let bound = fs::read_to_string(&owner).unwrap();
    let elsewhere: String = bound.lines().take(4).map(|line| format!("{line}\n")).collect();
    // Without a machine id, this machine can't be told from another.
    if bound == elsewhere {
        return;
    }
    pair.db2.run_as().write(&owner, format!("{elsewhere}machine=another\n")).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for word in ["db2 refused", "clone", "node_id", "any_machine"] {
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    pair.db2.write_local("2warm.toml", "[archive]\nany_machine = true\n").unwrap();
    pair.arrives();
    // A file of an earlier version is updated.
    pair.db2.write_local("2warm.toml", "").unwrap();
    pair.db2.run_as().write(&owner, &elsewhere).unwrap();
    pair.arrives();
    assert_eq!(fs::read_to_string(&owner).unwrap(), bound);
}

/// The first segment, full, of a server that has written more.
fn filled(pair: &Pair) -> Vec<u8> {
    pair.db1.start().unwrap();
    pair.db1
        .sql("create table filler as select n, repeat('x', 500) from generate_series(1, 50000) n")
        .unwrap();
    // The shutdown checkpoint would recycle it.
    let full = fs::read(pair.db1.pgdata().join("pg_wal").join(ONE)).unwrap();
    pair.db1.stop(StopMode::Fast).unwrap();
    full
}

/// Regression: the segment was archived with success, and the primary had recycled it before the standby reported
/// the damage.
#[test]
fn a_segment_with_a_flipped_bit_is_sent_only_with_ship_damaged() {
    let pair = Pair::new();
    let sound = filled(&pair);
    let mut damaged = sound.clone();
    let at = damaged.len() / 2 + 4000;
    damaged[at] ^= 1;
    let send = |content: &[u8]| {
        pair.db1.run_as().write(&pair.db1.pgdata().join("copy"), content).unwrap();
        pair.archive("copy", ONE)
    };
    pair.fails(
        &send(&damaged),
        1,
        &["copy\" is not shipped", "damaged", "0/18", "ship_damaged", "base copy"],
    );
    // The sound segment is sent.
    let output = send(&sound);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    fs::remove_file(pair.archived(ONE)).unwrap();
    pair.db1.append_settings("[archive]\nship_damaged = true").unwrap();
    let output = send(&damaged);
    let text = said(&output);
    assert!(output.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.contains("WARNING") && text.contains("damaged"), "{text}");
    assert!(fs::read(pair.archived(ONE)).unwrap() == damaged);
    // Its records are not checked.
    fs::remove_file(pair.archived(ONE)).unwrap();
    pair.db1.append_settings("verify = \"header\"\ncompression_level = 0").unwrap();
    let output = send(&damaged);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    assert!(fs::read(pair.archived(ONE)).unwrap() == damaged);
}

/// A segment that a promotion before 9.5 left unfinished, or the last one of a cluster.
#[test]
fn an_unfinished_segment_is_sent_as_it_is() {
    let pair = Pair::new();
    let output = pair.send();
    let text = said(&output);
    assert!(output.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.contains("was shipped, but it is incomplete"), "{text}");
}
