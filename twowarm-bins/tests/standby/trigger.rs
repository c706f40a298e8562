use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, succeeds};

#[test]
fn a_smart_trigger_promotes_with_all_that_was_shipped() {
    let pair = Pair::with_standby();
    pair.fill("second", 2000);
    pair.ship();
    pair.db1.stop(StopMode::Immediate).unwrap();
    let active = pair.db2.local().join("replication/archiving_active");
    fs::write(&active, "").unwrap();
    let said = succeeds(pair.db2.command("triggerStandby"));
    assert!(said.contains("s from trigger to a committed write"), "{said}");
    // What it says is so at once.
    assert!(!pair.db2.is_in_recovery().unwrap());
    assert_eq!(pair.db2.sql("select count(*) from second").unwrap(), "2000");
    pair.db2.sql("create table after_promotion ()").unwrap();
    assert!(!pair.db2.pgdata().join("trigger").exists());
    assert!(!active.exists());

    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains("holds no standby"), "{said}");
}

#[test]
fn a_fast_trigger_without_wait_returns_at_once() {
    let pair = Pair::with_standby();
    let said = succeeds({
        let mut command = pair.db2.command("triggerStandby");
        command.args(["fast", "--no-wait"]);
        command
    });
    let trigger = pair.db2.pgdata().join("trigger");
    assert!(said.contains(&trigger.display().to_string()), "{said}");
    assert!(trigger.exists());
    let open = || pair.db2.is_in_recovery().is_ok_and(|recovering| !recovering);
    wait_until("the server to open", LIMIT, open).unwrap();
}

#[test]
fn a_server_that_is_started_after_the_trigger_is_waited_for() {
    let pair = Pair::with_standby();
    pair.db2.stop(StopMode::Fast).unwrap();
    let waiting = pair.db2.command("triggerStandby").stdout(std::process::Stdio::piped()).spawn();
    let trigger = pair.db2.pgdata().join("trigger");
    wait_until("the trigger", LIMIT, || trigger.exists()).unwrap();
    pair.db2.start_warm().unwrap();
    assert!(waiting.unwrap().wait_with_output().unwrap().status.success());
    assert!(!trigger.exists());
}

#[test]
fn an_archive_that_cannot_be_read_or_has_a_newer_timeline_is_no_time_to_promote() {
    let pair = Pair::with_standby();
    let trigger = pair.db2.pgdata().join("trigger");
    let history = pair.db2.archive().join("00000002.history");
    pair.db2.run_as().write(&history, "1\tFF/0\tno recovery target specified\n").unwrap();
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains("timeline 2") && said.contains("after a restart"), "{said}");
    assert!(!trigger.exists());

    let mut fast = pair.db2.command("triggerStandby");
    fast.arg("fast");
    assert!(fails(fast, 1).contains("timeline 2"));
    assert!(!trigger.exists());

    pair.db2.stop(StopMode::Fast).unwrap();
    let moved = pair.db2.home().join("moved");
    fs::rename(pair.db2.archive(), &moved).unwrap();
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains("the archive can't be read"), "{said}");
    assert!(!trigger.exists());

    // Fast does without it, and does not say so.
    let fast = || {
        let mut command = pair.db2.command("triggerStandby");
        command.args(["fast", "--no-wait"]);
        command
    };
    let output = fast().output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(fs::read_to_string(&trigger).unwrap(), "fast\n");
    fs::remove_file(&trigger).unwrap();

    // Restarted, it follows the newer timeline, although pg_control does not say so yet.
    fs::rename(&moved, pair.db2.archive()).unwrap();
    pair.db2.start_warm().unwrap();
    let kept = pair.db2.pgdata().join("pg_wal/00000002.history");
    wait_until("the newer timeline to be followed", LIMIT, || kept.exists()).unwrap();
    succeeds(pair.db2.command("triggerStandby"));
}

#[test]
fn a_trigger_that_root_writes_is_the_servers() {
    // Only root can be somebody else than the servers' user.
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let pair = Pair::with_standby();
    pair.db2.stop(StopMode::Fast).unwrap();
    let as_root = |name: &str| {
        let mut command = Command::new(pair.db2.global().join("replication").join(name));
        command.current_dir(pair.db2.pgdata()).env("PGROOT", pair.db2.pgroot());
        command
    };
    for name in ["configStandby", "copyToStandby"] {
        let said = fails(as_root(name), 1);
        assert!(said.contains("as root: run it as "), "{said}");
    }
    let mut trigger = as_root("triggerStandby");
    trigger.args(["fast", "--no-wait"]);
    succeeds(trigger);
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&pair.db2.pgdata().join("trigger")), owner(&pair.db2.pgdata()));
    pair.db2.start_warm().unwrap();
    let open = || pair.db2.is_in_recovery().is_ok_and(|recovering| !recovering);
    wait_until("the server to open", LIMIT, open).unwrap();
}
