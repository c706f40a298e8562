use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair};

/// triggerStandby on db2. The process that lists the archive is stopped by SIGSTOP when it does so.
fn trigger_with_hung_archive(pair: &Pair, arguments: &[&str]) -> Command {
    let mut command = pair.db2.program("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(pair.db2.archive());
    command.args(["-e", "inject=getdents64:signal=SIGSTOP"]);
    command.arg(pair.db2.global().join("replication/triggerStandby")).args(arguments);
    command.current_dir(pair.db2.pgdata());
    command
}

/// Regression: triggerStandby waited for the archive without end.
#[test]
fn a_smart_trigger_is_not_delayed_by_an_archive_that_hangs() {
    let pair = Pair::with_standby();
    pair.db2.prepend_settings("time_limit = 2").unwrap();
    let output = trigger_with_hung_archive(&pair, &["smart"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let archive = pair.db2.archive().display().to_string();
    assert!(said.contains(&archive) && said.contains("did not answer within 2 s"), "{said}");
    assert!(said.contains("newer timeline") && said.contains("WARNING"), "{said}");
    assert!(!pair.db2.is_in_recovery().unwrap());
}

#[test]
fn a_fast_trigger_leaves_out_an_archive_that_hangs() {
    let pair = Pair::with_standby();
    let output = trigger_with_hung_archive(&pair, &["fast", "--no-wait"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(fs::exists(pair.db2.pgdata().join("trigger")).unwrap());
}

/// A server that accepts a connection and does not answer is not open yet.
#[test]
fn a_server_that_hangs_for_a_while_is_asked_again() {
    let pair = Pair::with_standby();
    pair.db2.prepend_settings("time_limit = 1").unwrap();
    let server = Pid::from_raw(pair.db2.pid().unwrap());
    kill(server, Signal::SIGSTOP).unwrap();
    let log = pair.db2.home().join("trigger.log");
    let mut command = pair.db2.command("triggerStandby");
    command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).process_group(0);
    let mut waiting = command.spawn().unwrap();
    let told = wait_until("the hung server to be noticed", LIMIT, || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("did not answer within 1 s"))
    });
    kill(server, Signal::SIGCONT).unwrap();
    let status = waiting.wait().unwrap();
    told.unwrap();
    assert!(status.success(), "{}", fs::read_to_string(&log).unwrap());
    pair.db2.stop(StopMode::Fast).unwrap();
}
