use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use twowarm_core::testbed::{COMMANDS, StopMode};

use crate::pair::{fails, make_empty, names, node_with, set_mode, succeeds};

#[test]
fn an_empty_directory_is_prepared_and_the_same_again_changes_nothing() {
    let node = node_with(&COMMANDS);
    make_empty(&node);
    let wal = node.home().join("wal");
    node.run_as().make_dir(&wal, 0o700).unwrap();
    node.run_as().write(&wal.join("000000010000000000000001"), "old").unwrap();
    symlink(&wal, node.pgdata().join("pg_wal")).unwrap();
    node.run_as().write(&node.pgdata().join("trigger"), "").unwrap();
    // Left from the time when the node was the primary.
    node.write_local("replication/archiving_active", "").unwrap();

    let said = succeeds(node.command("configStandby"));
    assert!(said.contains("archiving_active"), "{said}");
    assert!(!node.local().join("replication/archiving_active").exists());
    assert!(said.contains("trigger") && said.contains("pg_wal\" (1 files)"), "{said}");
    assert!(said.contains(&format!("{:?}. HINT: run copyToDR", node.archive())), "{said}");
    assert!(!said.contains("drnode"), "{said}");
    let put_back = "recovery_target = ''\nrecovery_target_time = ''\nrecovery_target_xid = ''\n\
                    recovery_target_name = ''\nrecovery_target_lsn = ''\n";
    let others = "recovery_target_action = 'pause'\n\
                  recovery_end_command = ''\narchive_cleanup_command = ''\npromote_trigger_file = ''\n";
    let command = "restore_command = 'exec ../2warm/global/replication/restoreWALFile %f %p %r'\n";
    let latest = "recovery_target_timeline = 'latest'\n";
    let (retry, prefetch) =
        ("wal_retrieve_retry_interval = '200ms'\n", "recovery_prefetch = 'off'\n");
    let standby = format!("{put_back}{others}{command}{latest}{retry}{prefetch}");
    let warm = format!("{put_back}{latest}{others}{command}{prefetch}");
    for (mode, signal, expected) in [
        ("standby", "standby.signal", &standby),
        ("standby", "standby.signal", &standby),
        ("warm", "recovery.signal", &warm),
        ("warm", "recovery.signal", &warm),
        ("standby", "standby.signal", &standby),
    ] {
        set_mode(&node, mode);
        let said = succeeds(node.command("configStandby"));
        assert!(!said.contains("Deleting"), "{said}");
        let mut all = ["archive", "pg_wal", "postgresql.auto.conf", "postgresql.conf", signal];
        all.sort();
        assert_eq!(names(&node.pgdata()), all);
        assert_eq!(names(&wal), ["archive_status"]);
        assert!(node.pgdata().join("pg_wal").is_symlink());
        assert_eq!(node.pgdata().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(node.archive().metadata().unwrap().mode() & 0o777, 0o700);
        let settings = fs::read_to_string(node.pgdata().join("postgresql.auto.conf")).unwrap();
        assert_eq!(&settings, expected, "{mode}");
    }
}

#[test]
fn a_dr_node_whose_segments_are_kept_is_reported() {
    let node = node_with(&COMMANDS);
    make_empty(&node);
    node.write_local("replication/drnode", "db3\n").unwrap();
    let said = succeeds(node.command("configStandby"));
    assert!(said.contains("drnode names db3"), "{said}");
    assert!(said.contains("segments that db3 has not received are kept"), "{said}");
}

/// Regression: on Debian, where PGDATA is not in PGROOT, the server stopped at its start with "command not found".
#[test]
fn a_restore_command_that_does_not_exist_is_reported() {
    let node = node_with(&COMMANDS);
    make_empty(&node);
    fs::remove_file(node.global().join("replication/restoreWALFile")).unwrap();
    let said = succeeds(node.command("configStandby"));
    assert!(said.contains("WARNING: the server cannot start its restore_command"), "{said}");
    assert!(said.contains("data/../2warm/global/replication/restoreWALFile\""), "{said}");
}

#[test]
fn the_cluster_s_own_recovery_conf_is_followed_or_its_bad_line_named() {
    let node = node_with(&COMMANDS);
    make_empty(&node);
    let conf = node.global().join("recovery.conf");
    let lines = "restore_command = 'exec pg_standby -t trigger archive %f %p %r'\n\
                 recovery_end_command = 'rm trigger'\nrecovery_prefetch = 'try'\n";
    node.run_as().write(&conf, lines).unwrap();
    let said = succeeds(node.command("configStandby"));
    assert!(!said.contains("WARNING"), "{said}");
    assert!(node.pgdata().join("recovery.signal").exists(), "pg_standby is for warm mode");
    let settings = fs::read_to_string(node.pgdata().join("postgresql.auto.conf")).unwrap();
    assert!(settings.ends_with(lines), "{settings}");

    node.run_as().write(&conf, format!("{lines}standby_mode = on\n")).unwrap();
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("line 4") && said.contains("standby_mode"), "{said}");

    node.prepend_settings("mode = \"hot\"").unwrap();
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("2warm.toml: line 1") && said.contains("`standby`"), "{said}");
}

#[test]
fn a_possible_primary_is_refused_and_not_changed() {
    let node = node_with(&COMMANDS);
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("not a directory") && said.contains("mkdir -m 700"), "{said}");

    node.initdb(&[]).unwrap();
    node.start().unwrap();
    let before = names(&node.pgdata());
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("a server is running in") && said.contains("stop it"), "{said}");
    assert_eq!(names(&node.pgdata()), before);

    // Left by a copy that was interrupted after pg_control had arrived. The server was promoted later.
    node.run_as().write(&node.pgdata().join(".twowarm-copy"), "77\n").unwrap();
    for stop in [StopMode::Immediate, StopMode::Fast] {
        node.stop(stop).unwrap();
        let before = names(&node.pgdata());
        let said = fails(node.command("configStandby"), 1);
        assert!(said.contains("looks like a primary") && said.contains("--overwrite"), "{said}");
        assert_eq!(names(&node.pgdata()), before);
        node.start().unwrap();
    }
    node.stop(StopMode::Fast).unwrap();
    fs::remove_file(node.pgdata().join("global/pg_control")).unwrap();
    fs::remove_file(node.pgdata().join(".twowarm-copy")).unwrap();
    let said = fails(node.command("configStandby"), 1);
    assert!(said.contains("parts of a cluster (PG_VERSION"), "{said}");
}

#[test]
fn wal_of_another_cluster_in_the_archive_is_reported() {
    let node = node_with(&COMMANDS);
    node.initdb(&[]).unwrap();
    let wal = node.pgdata().join("pg_wal/000000010000000000000001");
    let segment = fs::read(wal).unwrap();
    fs::remove_dir_all(node.pgdata()).unwrap();
    make_empty(&node);
    node.run_as().make_dir(&node.archive(), 0o700).unwrap();
    node.run_as().write(&node.archive().join("000000010000000000000001"), segment).unwrap();
    let said = succeeds(node.command("configStandby"));
    assert!(said.contains("1 WAL files of the cluster 7"), "{said}");

    node.run_as().write(&node.pgdata().join(".twowarm-copy"), "77\n").unwrap();
    let said = succeeds(node.command("configStandby"));
    assert!(said.contains("WARNING: 1 of 1 WAL files") && said.contains("(77)"), "{said}");
}
