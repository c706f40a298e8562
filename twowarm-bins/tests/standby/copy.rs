use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use twowarm_core::testbed::{StopMode, finish, wait_until};

use crate::pair::{LIMIT, Pair, fails, names, set_mode, succeeds};

#[test]
fn a_copy_becomes_a_standby_that_replays_and_a_second_one_is_a_delta() {
    let pair = Pair::new();
    pair.fill("first", 20_000);
    succeeds(pair.db2.command("configStandby"));
    let said = succeeds(pair.db1.command("copyToStandby"));
    for part in ["is shipped to db2:", "begins in WAL file", "ends in WAL file", "All ", "Done in"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let saved = fs::read_to_string(pair.db1.local().join("postgresql.conf")).unwrap();
    assert!(saved.contains("archiveWALFile"));
    assert!(pair.db1.local().join("replication/archiving_active").exists());
    for node in [&pair.db1, &pair.db2] {
        let left = names(&node.pgdata()).into_iter().find(|name| name.starts_with(".twowarm"));
        assert_eq!(left, None, "our own files are removed");
    }
    // db2 has db1's settings, and its own port.
    let conf = fs::read_to_string(pair.db2.pgdata().join("postgresql.conf")).unwrap();
    assert!(conf.contains(&format!("port = {}", pair.db2.port())));

    pair.db2.start_warm().unwrap();
    pair.fill("second", 500);
    pair.ship();
    pair.wait_for_rows("first", 20_000);
    pair.wait_for_rows("second", 500);
    pair.db2.stop(StopMode::Fast).unwrap();

    // A change that a comparison of sizes and times would miss.
    pair.db1.sql("update first set md5 = md5(md5)").unwrap();
    let has_unlogged = pair.db1.sql("create unlogged table fleeting as select 1").is_ok();
    let has_alter_system = pair.db1.sql("alter system set work_mem = '5MB'").is_ok();
    assert!(has_unlogged || !has_alter_system);
    pair.fill("third", 100);
    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(said.contains("An older copy exists there"), "{said}");
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("third", 100);
    let sum = "select sum(hashtext(md5)::bigint) from first";
    assert_eq!(pair.db1.sql(sum).unwrap(), pair.db2.sql(sum).unwrap());
    if has_alter_system {
        assert_eq!(pair.db2.sql("show work_mem").unwrap(), "5MB");
    }
    if pair.db2.install().major().unwrap().has_recovery_signal() {
        assert!(pair.db2.sql("show restore_command").unwrap().contains("restoreWALFile"));
    }
}

#[test]
fn a_standby_changes_its_mode_and_replays_in_both() {
    let pair = Pair::new();
    let has = |name: &str| pair.db2.pgdata().join(name).exists();
    // Standby mode is the default. The primary's setting does not come with the copy.
    set_mode(&pair.db1, "warm");
    succeeds(pair.db2.command("configStandby"));
    pair.db1.sql("alter system set wal_retrieve_retry_interval = '3s'").unwrap();
    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(!said.contains("WARNING"), "{said}");
    assert!(has("standby.signal") && !has("recovery.signal"));
    pair.db2.start_warm().unwrap();
    for (number, (mode, interval)) in
        [("standby", "3s"), ("warm", "5s"), ("standby", "200ms"), ("warm", "5s")]
            .into_iter()
            .enumerate()
    {
        if number > 0 {
            set_mode(&pair.db2, mode);
            pair.db2.stop(StopMode::Fast).unwrap();
            if number == 1 {
                // This value must be restored by hand. Our own setting is removed by configStandby.
                let auto_conf = pair.db2.pgdata().join("postgresql.auto.conf");
                let lines = fs::read_to_string(&auto_conf).unwrap().replace("'3s'", "'200ms'");
                pair.db2.run_as().write(&auto_conf, lines).unwrap();
            }
            succeeds(pair.db2.command("configStandby"));
            pair.db2.start_warm().unwrap();
        }
        let table = format!("table_{number}");
        pair.fill(&table, 100);
        pair.ship();
        pair.wait_for_rows(&table, 100);
        assert_eq!(has("standby.signal"), mode == "standby");
        assert_eq!(has("recovery.signal"), mode == "warm");
        let entered = pair.db2.log().lines().rev().find_map(|line| {
            line.split_once("LOG:  ")
                .filter(|(_, said)| {
                    said.ends_with("standby mode") || said.ends_with("archive recovery")
                })
                .map(|(_, said)| said.to_owned())
        });
        let expected =
            if mode == "standby" { "entering standby mode" } else { "starting archive recovery" };
        assert_eq!(entered.as_deref(), Some(expected));
        assert_eq!(pair.db2.sql("show wal_retrieve_retry_interval").unwrap(), interval);
        assert_eq!(pair.db2.sql("show recovery_target_timeline").unwrap(), "latest");
        assert!(pair.db2.is_in_recovery().unwrap());
    }
}

#[test]
fn a_restore_command_that_forks_is_warned_of_on_both_nodes() {
    let pair = Pair::new();
    let line = "restore_command = '../2warm/global/replication/restoreWALFile %f %p %r'\n";
    for node in [&pair.db1, &pair.db2] {
        node.run_as().write(&node.global().join("recovery.conf"), line).unwrap();
    }
    let better = "write restore_command = 'exec ../2warm/global/";
    for (node, command) in [(&pair.db2, "configStandby"), (&pair.db1, "copyToStandby")] {
        let said = succeeds(node.command(command));
        let warned: Vec<_> = said.lines().filter(|line| line.starts_with("WARNING")).collect();
        assert!(warned.len() == 1 && warned[0].contains(better), "{said}");
    }
}

#[test]
fn a_standby_inherits_no_recovery_target() {
    let pair = Pair::new();
    pair.fill("first", 100);
    // The primary was once restored to a point in time, and db2's own configuration has another target.
    for setting in ["recovery_target_name = 'x'", "recovery_target_timeline = 'current'"] {
        pair.db1.sql(&format!("alter system set {setting}")).unwrap();
    }
    let conf = fs::read_to_string(pair.db2.local().join("postgresql.conf")).unwrap();
    let target = "recovery_target_xid = ''\nrecovery_target = 'immediate'\n";
    let conf = format!("{conf}{target}recovery_target_action = 'promote'\n");
    pair.db2.write_local("postgresql.conf", conf).unwrap();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.fill("second", 100);
    pair.ship();
    pair.wait_for_rows("second", 100);
    assert!(pair.db2.is_in_recovery().unwrap());
    assert_eq!(pair.db2.sql("show recovery_target_timeline").unwrap(), "latest");
}

#[test]
fn a_killed_copy_cannot_be_started_and_is_continued_by_the_next() {
    let pair = Pair::new();
    pair.fill("large", 400_000);
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    // The second copy is killed in a directory that holds a complete one.
    pair.fill("larger", 600_000);
    let mut command = pair.db1.command("copyToStandby");
    let mut copying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    let node_runs_rsync = || marker.exists() && pair.db2.runs("rsync");
    wait_until("rsync to run", LIMIT, node_runs_rsync).unwrap();
    copying.kill().unwrap();
    copying.wait().unwrap();

    assert!(!pair.db2.pgdata().join("global/pg_control").exists());
    let error = pair.db2.start_warm().unwrap_err().to_string();
    assert!(error.contains("pg_control"), "{error}");
    wait_until("rsync to end", LIMIT, || !pair.db1.runs("rsync") && !pair.db2.runs("rsync"))
        .unwrap();
    wait_until("the other end to stop", LIMIT, || !pair.db2.runs("receiveBaseCopy")).unwrap();

    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(said.contains("An older copy exists there"), "{said}");
    assert!(!marker.exists());
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("larger", 600_000);
    let left = names(&pair.db1.pgdata()).into_iter().find(|name| name.starts_with(".twowarm"));
    assert_eq!(left, None, "the killed run's nonce is gone too");
}

#[test]
fn files_that_belong_to_the_node_are_neither_copied_nor_deleted() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    let (from, to) = (pair.db1.pgdata(), pair.db2.pgdata());
    let write = |path: std::path::PathBuf| pair.db1.run_as().write(&path, "x").unwrap();
    for name in ["trigger", "recovery.done", "backup_label.old", "logfile", "pg_subtrans/x", "new"]
    {
        write(from.join(name));
    }
    for name in
        ["recovery.done", "postmaster.opts", "logfile", "pg_subtrans/y", "base/trigger", "old"]
    {
        write(to.join(name));
    }
    // Only a trigger at the top of the data directory is excluded.
    write(from.join("base/1/trigger"));
    let mut command = pair.db1.command("copyToStandby");
    command.arg("--yes");
    let said = succeeds(command);
    assert!(said.contains("deleted: old\n"), "{said}");
    for absent in ["trigger", "backup_label.old", "pg_subtrans/x", "base/trigger", "old"] {
        assert!(!to.join(absent).exists(), "{absent}");
    }
    for present in
        ["recovery.done", "postmaster.opts", "logfile", "pg_subtrans/y", "base/1/trigger", "new"]
    {
        assert!(to.join(present).exists(), "{present}");
    }
}

#[test]
fn a_second_copy_at_the_same_time_is_refused() {
    let pair = Pair::new();
    pair.fill("large", 300_000);
    succeeds(pair.db2.command("configStandby"));
    let mut command = pair.db1.command("copyToStandby");
    let mut copying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    wait_until("the copy to begin", LIMIT, || marker.exists()).unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("a base copy"), "{said}");
    let said = fails(pair.db2.command("configStandby"), 1);
    assert!(said.contains("a base copy"), "{said}");
    assert!(copying.wait().unwrap().success());
}

#[test]
fn a_node_that_dies_or_hangs_ends_the_copy_and_the_next_continues_it() {
    let mut pair = Pair::new();
    pair.db1.prepend_settings("time_limit = 2").unwrap();
    pair.fill("large", 600_000);
    succeeds(pair.db2.command("configStandby"));
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    for hangs in [false, true] {
        let mut command = pair.db1.command("copyToStandby");
        let mut copying = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Before that rsync only lists what would be deleted.
        let mut told = BufReader::new(copying.stdout.take().unwrap()).lines();
        assert!(told.any(|line| line.unwrap().contains("online backup begins")));
        wait_until("rsync to run", LIMIT, || marker.exists() && pair.db2.runs("rsync")).unwrap();
        if hangs {
            pair.db2.sshd().freeze();
        } else {
            pair.db2.sshd().stop();
        }
        let output = copying.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("incomplete and cannot be started"), "{said}");
        assert!(said.contains("run copyToStandby again to continue it"), "{said}");
        assert!(!pair.db2.pgdata().join("global/pg_control").exists());
        if hangs {
            pair.db2.sshd().thaw();
        } else {
            pair.db2.sshd().restart().unwrap();
        }
        let far_end_is_gone = || !pair.db2.runs("rsync") && !pair.db2.runs("receiveBaseCopy");
        wait_until("the other end to notice", LIMIT, far_end_is_gone).unwrap();
    }
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("large", 600_000);
}

#[test]
fn an_archive_command_that_fails_is_named_while_the_copy_waits_for_wal() {
    let pair = Pair::new();
    let major = pair.db1.install().major().unwrap();
    // Before 9.4 there is no pg_stat_archiver, and before 10 the server waits itself until WAL is archived.
    if major < "10".parse().unwrap() {
        return;
    }
    succeeds(pair.db2.command("configStandby"));
    let configure = |lines: &str| {
        pair.db1.append_conf(lines).unwrap();
        pair.db1.sql("select pg_reload_conf()").unwrap();
    };
    configure("archive_command = 'false archiveWALFile'");
    let mut command = pair.db1.command("copyToStandby");
    let mut copying = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut messages = BufReader::new(copying.stderr.take().unwrap()).lines();
    assert!(messages.any(|line| line.unwrap().contains("WARNING: archive_command failed for 0")));
    configure(&pair.db1.archiving_conf().unwrap());
    messages.for_each(drop);
    assert!(copying.wait().unwrap().success());
}

#[test]
fn a_copy_made_under_load_is_whole() {
    let pair = Pair::new();
    set_mode(&pair.db2, "warm");
    pair.fill("large", 300_000);
    pair.fill("ledger", 1000);
    succeeds(pair.db2.command("configStandby"));
    let ended = AtomicBool::new(false);
    let mut load = pair.db1.client().unwrap();
    std::thread::scope(|scope| {
        // Files grow, are rewritten, truncated and removed while rsync reads them.
        let busy = scope.spawn(|| {
            let mut rounds = 0;
            while !ended.load(Ordering::Relaxed) {
                let round = "create table passing as select generate_series(1, 2000);
                             update large set md5 = md5(md5) where n % 5000 = 0;
                             update ledger set n = n + 1;
                             delete from large where n % 9000 = 3;
                             vacuum large";
                round.split(';').for_each(|sql| load.batch_execute(sql).unwrap());
                load.batch_execute("truncate passing; drop table passing").unwrap();
                rounds += 1;
                // Slow enough for shipping to keep up.
                load.batch_execute("select pg_sleep(0.2)").unwrap();
            }
            rounds
        });
        let copied = finish(&mut pair.db1.command("copyToStandby"));
        ended.store(true, Ordering::Relaxed);
        assert!(busy.join().unwrap() > 0);
        copied.unwrap();
    });
    pair.ship();
    pair.db1.stop(StopMode::Fast).unwrap();
    pair.db2.start_warm().unwrap();
    succeeds(pair.db2.command("triggerStandby"));
    pair.db1.start().unwrap();
    for sum in [
        "select count(*), sum(n), sum(hashtext(md5)::bigint) from large",
        "select count(*), sum(n) from ledger",
    ] {
        assert_eq!(pair.db1.sql(sum).unwrap(), pair.db2.sql(sum).unwrap());
    }
}
