use std::fs;
use std::process::Stdio;

use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, names, succeeds};

#[test]
fn a_copy_becomes_a_standby_that_replays_and_a_second_one_is_a_delta() {
    let pair = Pair::new();
    pair.fill("first", 20_000);
    succeeds(pair.db2.command("configStandby"));
    let said = succeeds(pair.db1.command("copyToStandby"));
    for part in ["is shipped to db2:", "begins at WAL file", "ends in WAL file", "All ", "Done in"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let saved = fs::read_to_string(pair.db1.local().join("postgresql.conf")).unwrap();
    assert!(saved.contains("archiveWALFile"));
    assert!(pair.db1.local().join("replication/archiving_active").exists());
    for node in [&pair.db1, &pair.db2] {
        let left = names(&node.pgdata()).into_iter().find(|name| name.starts_with(".twowarm"));
        assert_eq!(left, None, "our own state is gone");
    }
    // It is db2's, not db1's, and came with db1's settings without losing its own.
    let conf = fs::read_to_string(pair.db2.pgdata().join("postgresql.conf")).unwrap();
    assert!(conf.contains(&format!("port = {}", pair.db2.port())));

    pair.db2.start_warm().unwrap();
    pair.fill("second", 500);
    pair.ship();
    pair.wait_for_rows("first", 20_000);
    pair.wait_for_rows("second", 500);
    pair.db2.stop(StopMode::Fast).unwrap();

    // Something changes that a comparison of sizes and times would not see.
    pair.db1.sql("update first set md5 = md5(md5)").unwrap();
    pair.db1.sql("alter system set work_mem = '5MB'").unwrap();
    pair.db1.sql("create unlogged table fleeting as select 1").unwrap();
    pair.fill("third", 100);
    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(said.contains("An older copy is there"), "{said}");
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("third", 100);
    let sum = "select md5(string_agg(md5, '' order by n)) from first";
    assert_eq!(pair.db1.sql(sum).unwrap(), pair.db2.sql(sum).unwrap());
    assert_eq!(pair.db2.sql("show work_mem").unwrap(), "5MB");
    assert!(pair.db2.sql("show restore_command").unwrap().contains("restoreWALFile"));
}

#[test]
fn a_killed_copy_cannot_be_started_and_is_continued_by_the_next() {
    let pair = Pair::new();
    pair.fill("large", 400_000);
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    // The next one is killed over what looks like a whole copy.
    pair.fill("larger", 600_000);
    let mut command = pair.db1.command("copyToStandby");
    let mut copying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    let node_runs_rsync = || marker.exists() && pair.db2.runs("rsync");
    wait_until("rsync at work", LIMIT, node_runs_rsync).unwrap();
    copying.kill().unwrap();
    copying.wait().unwrap();

    assert!(!pair.db2.pgdata().join("global/pg_control").exists());
    let error = pair.db2.start_warm().unwrap_err().to_string();
    assert!(error.contains("pg_control"), "{error}");
    wait_until("rsync to end", LIMIT, || !pair.db1.runs("rsync") && !pair.db2.runs("rsync"))
        .unwrap();
    wait_until("the far end to end", LIMIT, || !pair.db2.runs("receiveBaseCopy")).unwrap();

    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(said.contains("An older copy is there"), "{said}");
    assert!(!marker.exists());
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("larger", 600_000);
    let left = names(&pair.db1.pgdata()).into_iter().find(|name| name.starts_with(".twowarm"));
    assert_eq!(left, None, "the killed run's nonce is gone too");
}

#[test]
fn what_is_the_nodes_own_is_neither_copied_nor_deleted() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    let (from, to) = (pair.db1.pgdata(), pair.db2.pgdata());
    let write = |path: std::path::PathBuf| pair.db1.run_as().write(&path, "x").unwrap();
    for name in ["trigger", "recovery.done", "backup_label.old", "logfile", "pg_replslot/x", "new"]
    {
        write(from.join(name));
    }
    for name in
        ["recovery.done", "postmaster.opts", "logfile", "pg_notify/y", "base/trigger", "old"]
    {
        write(to.join(name));
    }
    // A trigger here is only one at the top.
    write(from.join("base/1/trigger"));
    succeeds(pair.db1.command("copyToStandby"));
    for absent in ["trigger", "backup_label.old", "pg_replslot/x", "base/trigger", "old"] {
        assert!(!to.join(absent).exists(), "{absent}");
    }
    for present in
        ["recovery.done", "postmaster.opts", "logfile", "pg_notify/y", "base/1/trigger", "new"]
    {
        assert!(to.join(present).exists(), "{present}");
    }
}

#[test]
fn two_copies_at_once_are_one_too_many() {
    let pair = Pair::new();
    pair.fill("large", 300_000);
    succeeds(pair.db2.command("configStandby"));
    let mut command = pair.db1.command("copyToStandby");
    let mut copying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    wait_until("the copy to begin", LIMIT, || marker.exists()).unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("another base copy"), "{said}");
    let said = fails(pair.db2.command("configStandby"), 1);
    assert!(said.contains("another base copy"), "{said}");
    assert!(copying.wait().unwrap().success());
}
