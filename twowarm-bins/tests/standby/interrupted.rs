use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::wait_until;

use crate::pair::{LIMIT, Pair, fails, interactive, names, succeeds};

/// Starts copyToStandby and waits until it copies files.
fn copying(pair: &Pair) -> Child {
    let mut command = interactive(&pair.db1, "copyToStandby");
    let copying = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    // rsync also fetches the marker file, before the backup starts.
    let is_backup = || is_of_session(pair) || left(pair) == [".twowarm-backup_label"];
    let is_at_files = || marker.exists() && is_backup() && pair.db2.runs("rsync");
    wait_until("rsync to run", LIMIT, is_at_files).unwrap();
    copying
}

fn prepared() -> Pair {
    let pair = Pair::new();
    pair.fill("large", 600_000);
    succeeds(pair.db2.command("configStandby"));
    pair
}

fn is_of_session(pair: &Pair) -> bool {
    pair.db1.install().major().unwrap().has_session_backup()
}

fn wait_for_the_far_end(pair: &Pair) {
    let is_over = || !pair.db2.runs("rsync") && !pair.db2.runs("receiveBaseCopy");
    wait_until("the other end to stop", LIMIT, is_over).unwrap();
}

/// The files of an exclusive backup in the primary's data directory.
fn left(pair: &Pair) -> Vec<String> {
    let all = names(&pair.db1.pgdata()).into_iter();
    all.filter(|name| name.contains("backup_label") && !name.ends_with(".old")).collect()
}

#[test]
fn a_signal_ends_the_copy_and_the_backup_with_it() {
    let pair = prepared();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let child = copying(&pair);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if is_of_session(&pair) {
            assert_eq!(output.status.signal(), Some(signal as i32), "{said}");
        } else {
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("ending the online backup"), "{said}");
            assert!(said.contains(&format!("interrupted by {signal}")), "{said}");
        }
        assert_eq!(left(&pair), [""; 0]);
        wait_for_the_far_end(&pair);
        assert!(!pair.db2.pgdata().join("global/pg_control").exists());
    }
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    assert_eq!(left(&pair), [""; 0]);
}

#[test]
fn a_primary_that_crashes_in_a_copy_starts_again_and_the_next_copy_is_whole() {
    let pair = prepared();
    pair.db1.prepend_settings("time_limit = 5").unwrap();
    let child = copying(&pair);
    pair.db1.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Up to about 9.4 a session outlives its postmaster and ends the backup.
    let whole = said.contains("stopped before") && said.contains("start the server");
    assert!(whole || said.contains("incomplete and can't be started"), "{said}");
    assert_eq!(left(&pair), [""; 0], "{said}");
    wait_for_the_far_end(&pair);
    // A start fails until the processes of the crashed server have ended.
    wait_until("the primary to start", LIMIT, || pair.db1.start().is_ok()).unwrap();
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.ship();
}

#[test]
fn a_backup_that_a_killed_copy_left_is_ended_by_the_next_and_anothers_is_not() {
    let pair = prepared();
    let mut child = copying(&pair);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_the_far_end(&pair);
    assert_eq!(left(&pair).len(), usize::from(!is_of_session(&pair)));
    succeeds(pair.db1.command("copyToStandby"));
    assert_eq!(left(&pair), [""; 0]);

    let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                 CHECKPOINT LOCATION: 0/2000060\nSTART TIME: 2011-05-06 07:08:09 CEST\n\
                 LABEL: nightly\n";
    let place = pair.db1.pgdata().join("backup_label");
    pair.db1.run_as().write(&place, label).unwrap();
    if is_of_session(&pair) {
        // The exclusive backup of another program does not disturb a session's own, and its label is not copied.
        succeeds(pair.db1.command("copyToStandby"));
    } else {
        let said = fails(pair.db1.command("copyToStandby"), 1);
        assert!(said.contains("nightly") && said.contains("07:08:09"), "{said}");
    }
    assert_eq!(fs::read_to_string(&place).unwrap(), label);
}
