use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, interactive, succeeds};

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
    // The server is open as soon as the command has returned.
    assert!(!pair.db2.is_in_recovery().unwrap());
    assert_eq!(pair.db2.sql("select count(*) from second").unwrap(), "2000");
    pair.db2.sql("create table after_promotion ()").unwrap();
    assert!(!pair.db2.pgdata().join("trigger").exists());
    assert!(!active.exists());

    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains("does not hold a standby"), "{said}");
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
    pair.db2.wait_for_promotion().unwrap();
}

/// Regression: triggerStandby waited for the server without end, so that `triggerStandby; pg_ctl start` never
/// started it.
#[test]
fn without_a_server_the_trigger_is_written_and_remains_in_force() {
    let pair = Pair::with_standby();
    pair.db2.stop(StopMode::Fast).unwrap();
    let said = succeeds(pair.db2.command("triggerStandby"));
    let trigger = pair.db2.pgdata().join("trigger");
    assert!(said.contains("start it") && said.contains("remains in force"), "{said}");
    assert!(said.contains(&trigger.display().to_string()), "{said}");
    assert_eq!(fs::read_to_string(&trigger).unwrap(), "smart\n");
    pair.db2.start_warm().unwrap();
    pair.db2.wait_for_promotion().unwrap();
}

/// Makes the server reject all connections.
fn refuse_everybody(pair: &Pair) {
    let hba = pair.db2.pgdata().join("pg_hba.conf");
    pair.db2.run_as().write(&hba, "local all all reject\n").unwrap();
    kill(Pid::from_raw(pair.db2.pid().unwrap()), Signal::SIGHUP).unwrap();
    let refuses = || pair.db2.client().is_err();
    wait_until("the server to refuse connections", LIMIT, refuses).unwrap();
}

fn set_connect_limit(pair: &Pair, seconds: u32) {
    let settings = fs::read_to_string(pair.db2.local().join("2warm.toml")).unwrap();
    let limit = format!("[server]\nconnect_limit = {seconds}");
    pair.db2.write_local("2warm.toml", settings.replacen("[server]", &limit, 1)).unwrap();
}

/// The process that replays WAL, once it has its title.
fn startup_process(pair: &Pair) -> Pid {
    let postmaster = pair.db2.pid().unwrap();
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let title = |pid: &&str| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let found = wait_until("the startup process", LIMIT, || {
        let children = fs::read_to_string(&children).unwrap();
        let mut pids = children.split_whitespace();
        let pid = pids.find(|pid| String::from_utf8_lossy(&title(pid)).contains("startup"));
        pid.map(|pid| pid.parse().unwrap())
    });
    Pid::from_raw(found.unwrap())
}

/// Regression: triggerStandby retried without end.
#[test]
fn a_server_that_refuses_every_connection_is_seen_to_be_promoted_by_its_files() {
    let pair = Pair::with_standby();
    set_connect_limit(&pair, 2);
    refuse_everybody(&pair);
    let said = fails(pair.db2.command("triggerStandby"), 1);
    for part in ["was promoted", "in production", "failed for 2 s", "pg_hba.conf", "PGPASSWORD"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let trigger = pair.db2.pgdata().join("trigger");
    assert!(said.contains("the trigger is removed") && !trigger.exists(), "{said}");
}

#[test]
fn while_recovery_goes_on_a_wait_that_ends_leaves_the_trigger_in_force_and_says_how_to_cancel_it() {
    let pair = Pair::with_standby();
    let trigger = pair.db2.pgdata().join("trigger");
    // Until then connections fail because the server is starting up.
    wait_until("the standby to accept connections", LIMIT, || pair.db2.client().is_ok()).unwrap();
    refuse_everybody(&pair);
    let startup = startup_process(&pair);
    kill(startup, Signal::SIGSTOP).unwrap();
    let check = |said: &str| {
        assert!(trigger.exists(), "{said}");
        assert!(said.contains(&trigger.display().to_string()), "{said}");
        for part in ["remains in force", "To cancel the failover, delete"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    for (signal, number) in [(Signal::SIGINT, 2), (Signal::SIGTERM, 15)] {
        let mut command = interactive(&pair.db2, "triggerStandby");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let waiting = command.spawn().unwrap();
        wait_until("the trigger file to be written", LIMIT, || trigger.exists()).unwrap();
        kill(Pid::from_raw(waiting.id() as i32), signal).unwrap();
        let output = waiting.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(number), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("interrupted"), "{said}");
        check(&said);
        fs::remove_file(&trigger).unwrap();
    }
    set_connect_limit(&pair, 1);
    let said = fails(pair.db2.command("triggerStandby"), 1);
    assert!(said.contains("recovery has not ended yet"), "{said}");
    check(&said);
    kill(startup, Signal::SIGCONT).unwrap();
}

#[test]
fn promotion_is_refused_if_the_archive_is_unreadable_or_has_a_newer_timeline() {
    let pair = Pair::with_standby();
    let trigger = pair.db2.pgdata().join("trigger");
    let history = pair.db2.archive().join("00000002.history");
    // The running server has already looked for timelines. It would follow this one after a restart.
    wait_until("redo to start", LIMIT, || pair.db2.log().contains("redo starts")).unwrap();
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
    assert!(said.contains("could not read the archive"), "{said}");
    assert!(!trigger.exists());

    // A fast failover does not need the archive, so there is no message.
    let fast = || {
        let mut command = pair.db2.command("triggerStandby");
        command.args(["fast", "--no-wait"]);
        command
    };
    let output = fast().output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(fs::read_to_string(&trigger).unwrap(), "fast\n");
    fs::remove_file(&trigger).unwrap();

    // After a restart the server follows the newer timeline, although pg_control does not say so yet.
    fs::rename(&moved, pair.db2.archive()).unwrap();
    pair.db2.start_warm().unwrap();
    let kept = pair.db2.pgdata().join("pg_wal/00000002.history");
    wait_until("the newer timeline to be followed", LIMIT, || kept.exists()).unwrap();
    succeeds(pair.db2.command("triggerStandby"));
}

#[test]
fn a_trigger_that_root_writes_is_the_servers() {
    // Only root can act as another user than the servers'.
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
        assert!(said.contains("as root. HINT: run it as "), "{said}");
    }
    let mut trigger = as_root("triggerStandby");
    trigger.args(["fast", "--no-wait"]);
    succeeds(trigger);
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&pair.db2.pgdata().join("trigger")), owner(&pair.db2.pgdata()));
    pair.db2.start_warm().unwrap();
    pair.db2.wait_for_promotion().unwrap();
}
