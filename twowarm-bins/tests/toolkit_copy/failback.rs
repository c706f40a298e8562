use std::fs;

use twowarm_core::data_directory::has_orphans;
use twowarm_core::testbed::{Node, StopMode, wait_until};

use crate::copies::{is_clean, sum};
use crate::pair::{LIMIT, Pair, fails, names, succeeds, wait_for_rows};

/// Where an old primary's files are kept.
fn set_aside(node: &Node) -> std::path::PathBuf {
    node.pgdata().join(".twowarm-unarchived-1")
}

/// A primary crashed with WAL that no other node received; its standby was promoted and has written since.
fn failed_over() -> Pair {
    let mut pair = Pair::with_standby_in("standby");
    pair.fill("second", 30_000);
    pair.ship();
    pair.wait_for_rows("second", 30_000);
    pair.db2.sshd().stop();
    pair.fill("lost", 30_000);
    pair.db1.kill().unwrap();
    // Through 10 its checkpointer first completes a checkpoint, at whose end it writes pg_control.
    wait_until("the other processes to end", LIMIT, || !has_orphans(&pair.db1.pgdata()).unwrap())
        .unwrap();
    pair.db2.sshd().restart().unwrap();
    succeeds(pair.db2.command("triggerStandby"));
    pair.db2.sql("update second set md5 = md5(md5) where n % 10 = 0").unwrap();
    pair
}

#[test]
fn an_old_primary_becomes_the_standby_by_a_delta_copy_and_is_switched_back_to() {
    let pair = failed_over();
    let (db1, db2) = (&pair.db1, &pair.db2);
    db1.run_as().write(&db1.pgdata().join("trigger"), "").unwrap();
    let own_hba = "local all all trust # db1's\n";
    db1.write_local("pg_hba.conf", own_hba).unwrap();

    let said = fails(db2.command("copyToStandby"), 1);
    assert!(said.contains("looks like a primary's") && said.contains("--overwrite"), "{said}");
    let said = fails(db1.command("configStandby"), 1);
    assert!(said.contains("looks like a primary's") && said.contains("--overwrite"), "{said}");
    assert!(db1.pgdata().join("global/pg_control").exists(), "nothing was changed");
    let wal = db1.install().major().unwrap().wal_directory();
    let wal = names(&db1.pgdata().join(wal));

    let mut overwrite = db1.command("configStandby");
    overwrite.arg("--overwrite");
    let said = succeeds(overwrite);
    assert!(said.contains(set_aside(db1).to_str().unwrap()), "{said}");
    let kept = names(&set_aside(db1));
    assert!(kept.contains(&"pg_control".to_owned()), "{kept:?}");
    // The rows of "lost" are in segments that no other node has.
    let segments: Vec<&String> = kept.iter().filter(|name| name.len() == 24).collect();
    assert!(!segments.is_empty() && segments.iter().all(|name| wal.contains(name)), "{kept:?}");
    assert!(segments.iter().all(|name| !db2.archive().join(name).exists()), "{kept:?}");
    assert!(!db1.pgdata().join("trigger").exists());
    assert!(!db1.local().join("replication/archiving_active").exists());
    let error = db1.start_warm().unwrap_err().to_string();
    assert!(error.contains("pg_control"), "{error}");

    // While db1 was down, db2 would try it again only after a time; the copy would wait for its WAL.
    db2.write_local("replication/unreachable_nodes", "db1\n").unwrap();
    let said = succeeds(db2.command("copyToStandby"));
    assert!(!db2.local().join("replication/unreachable_nodes").exists());
    assert!(said.contains("An older copy exists there"), "{said}");
    assert!(said.contains(", the other files are unchanged"), "{said}");
    assert_eq!(names(&set_aside(db1)), kept, "the copy leaves it alone");
    assert!(!db1.pgdata().join("trigger").exists());
    assert_eq!(fs::read_to_string(db1.pgdata().join("pg_hba.conf")).unwrap(), own_hba);
    // A start fails until the processes of the crashed server have ended.
    wait_until("db1 to start", LIMIT, || db1.start_warm().is_ok()).unwrap();
    wait_for_rows(db1, "second", 30_000);
    assert!(db1.is_in_recovery().unwrap());
    let can_be_queried = db1.install().major().unwrap().has_hot_standby();
    assert!(!can_be_queried || db1.sql("select count(*) from lost").is_err());

    // Back to db1.
    db2.sql("create table third as select n, md5(n::text) from generate_series(1, 777) n").unwrap();
    let major = db2.install().major().unwrap();
    let last = db2.sql(major.current_wal_file()).unwrap();
    db2.sql(major.switch_wal()).unwrap();
    wait_until("the last segment", LIMIT, || db1.archive().join(&last).exists()).unwrap();
    let expected: Vec<_> = ["first", "second", "third"].map(|table| sum(db2, table)).into();
    db2.stop(StopMode::Fast).unwrap();
    succeeds(db1.command("triggerStandby"));
    let found: Vec<_> = ["first", "second", "third"].map(|table| sum(db1, table)).into();
    assert_eq!(found, expected);
    db1.sql("insert into third values (0, '')").unwrap();

    // And db2 becomes the standby in the same way.
    let mut overwrite = db2.command("configStandby");
    overwrite.arg("--overwrite");
    succeeds(overwrite);
    succeeds(db1.command("copyToStandby"));
    db2.start_warm().unwrap();
    wait_for_rows(db2, "third", 778);
    fs::remove_dir_all(set_aside(db1)).unwrap();
    is_clean(db1);
}

#[test]
fn a_running_primary_and_one_of_another_cluster_are_not_overwritten() {
    let pair = failed_over();
    // A start fails until the processes of the crashed server have ended.
    wait_until("db1 to start", LIMIT, || pair.db1.start().is_ok()).unwrap();
    let mut overwrite = pair.db1.command("configStandby");
    overwrite.arg("--overwrite");
    let said = fails(overwrite, 1);
    assert!(said.contains("a server is running"), "{said}");
    pair.db1.sql("select 1").unwrap();

    // db1's directory is that of another cluster.
    pair.db1.stop(StopMode::Fast).unwrap();
    fs::remove_dir_all(pair.db1.pgdata()).unwrap();
    pair.db1.initdb_small_segments().unwrap();
    let mut overwrite = pair.db1.command("configStandby");
    overwrite.arg("--overwrite");
    succeeds(overwrite);
    let said = fails(pair.db2.command("copyToStandby"), 1);
    assert!(said.contains("another cluster"), "{said}");
    assert!(pair.db1.pgdata().join("base/1").exists());
}
