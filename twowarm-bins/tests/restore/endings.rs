//! How restoreWALFile ends: exit 0 if the file was restored, 1 if it is absent and that is the right answer, 200 for
//! errors that waiting does not fix, and by the signal that killed it.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::{Scratch, cluster};
use nix::sys::signal::Signal;

#[test]
fn every_segment_of_a_real_server_is_restored_as_it_is() {
    let scratch = Scratch::full();
    (0..cluster().segments.len()).for_each(|number| scratch.assert_restores(number));
    assert_eq!(scratch.archive().len(), cluster().segments.len(), "without %r nothing is pruned");
}

#[test]
fn history_and_backup_files_are_restored_or_absent_at_once() {
    let scratch = Scratch::full();
    let backup = format!("{}.00000028.backup", scratch.name(0));
    scratch.assert_absent("00000002.history");
    scratch.assert_absent("00000001.history");
    scratch.assert_absent(&backup);
    let history = scratch.left(1, 0x1C);
    scratch.put("00000002.history", &history);
    scratch.run_with(&["00000002.history", "pg_wal/RECOVERYHISTORY"]).exited(0);
    assert_eq!(scratch.read("pg_wal/RECOVERYHISTORY"), history);
}

/// Sender and receiver accept a damaged .backup file, since no server from 9.0 on needs it, so waiting for another
/// one would not end. They refuse a damaged history file, so a sound one will arrive.
#[test]
fn a_damaged_backup_file_is_restored_and_a_damaged_history_waited_for() {
    let scratch = Scratch::full();
    let backup = format!("{}.00000028.backup", scratch.name(0));
    scratch.put(&backup, "");
    let ended = scratch.run_with(&[&backup, "pg_wal/RECOVERYXLOG"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("no server of this version reads"), "{}", ended.said);
    assert_eq!(scratch.read("pg_wal/RECOVERYXLOG"), "");
    scratch.put("00000002.history", "");
    let mut call = scratch.start("00000002.history");
    call.waits_for("has no ancestor");
    // The receiver sets the damaged one aside like this.
    let place = scratch.archived("00000002.history");
    fs::rename(&place, place.with_extension("history.foreign")).unwrap();
    scratch.put("00000002.history", scratch.left(1, 0x1C));
    call.exits(0);
}

#[test]
fn a_segment_from_before_its_timeline_began_is_absent_at_once() {
    let scratch = Scratch::full();
    scratch.put("00000002.history", scratch.left(1, 0x1C));
    scratch.assert_absent("000000020000000000000012");
    // The history file of a descendant also says so, and may already be in pg_wal.
    scratch.write("pg_wal/00000004.history", scratch.left(1, 1) + &scratch.left(3, 0x1C));
    scratch.assert_absent("000000040000000000000012");
    scratch.put("00000003.history", scratch.left(1, 0x1C) + &scratch.left(2, 0x29));
    fs::remove_file(scratch.archived("00000002.history")).unwrap();
    scratch.assert_absent("000000020000000000000012");
    let mut call = scratch.start("00000002000000000000001F");
    call.waits_for("waiting for 00000002000000000000001F");
}

#[test]
fn bad_arguments_stop_the_server() {
    let scratch = Scratch::full();
    let name = scratch.name(1);
    let calls: [&[&str]; 10] = [
        &[],
        &[name],
        &[name, "pg_wal/x", name, name],
        &["", "pg_wal/x"],
        &["postgresql.conf", "pg_wal/x"],
        &["../../etc/passwd", "pg_wal/x"],
        &["00000001000000000000000g", "pg_wal/x"],
        &["00000001000000000000001A.partial", "pg_wal/x"],
        &[name, "no_such_directory/x"],
        &[name, ""],
    ];
    for arguments in calls {
        let ended = scratch.run_with(arguments);
        assert_eq!(ended.code, Some(200), "{arguments:?}: {}", ended.said);
        assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
        assert!(ended.said.contains("ERROR"), "{}", ended.said);
    }
}

#[test]
fn a_configuration_that_cannot_work_stops_the_server() {
    let scratch = Scratch::full();
    let refused = |words: &[&str]| {
        let ended = scratch.run(scratch.name(1));
        assert_eq!(ended.code, Some(200), "{}", ended.said);
        assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
        words.iter().for_each(|word| assert!(ended.said.contains(word), "{}", ended.said));
    };
    scratch.write_local("2warm.toml", "time_limit = 5\nrestroe = 1\n");
    refused(&["2warm.toml", "line 2", "restroe"]);
    scratch.write_local("2warm.toml", "");
    scratch.write_local("environment.sh", "export A=1\nif true; then PGDATA=/2; fi\n");
    refused(&["environment.sh", "line 2", "PGDATA"]);
    let elsewhere = scratch.data().join("../elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    scratch.write_local("environment.sh", &format!("PGDATA={}\n", elsewhere.display()));
    refused(&["environment.sh", "elsewhere"]);
    scratch.write_local("environment.sh", "");
    scratch.write("global/pg_control", [0_u8; 8192]);
    refused(&["pg_control"]);
    scratch.write("global/pg_control", &cluster().control);
    // Shell commands in environment.sh do not matter: PGDATA is the server's working directory.
    scratch.write_local("environment.sh", "umask 077\nif true; then B=2; fi\n. ~/.profile\n");
    scratch.assert_restores(1);
    fs::rename(scratch.data().join("../2warm/local"), scratch.data().join("../local")).unwrap();
    fs::remove_dir_all(scratch.data().join("../2warm")).unwrap();
    let mut command = scratch.command(scratch.name(1), &[]);
    command.env("PGROOT", "/nowhere");
    assert!(
        command.status().is_err(),
        "a missing command: the shell's exit code 127 stops the server"
    );
}

/// Messages can't be written: the pipe has no reader, the disk is full, or standard error is closed.
#[test]
fn a_lost_stderr_changes_no_exit_code() {
    let scratch = Scratch::full();
    let shell = |redirect: &str, name: &str| {
        let line = format!(
            "exec ../2warm/global/replication/restoreWALFile {name} pg_wal/RECOVERYXLOG {redirect}"
        );
        let mut command = std::process::Command::new("/bin/sh");
        command.arg("-c").arg(line).current_dir(scratch.data());
        command.env("TWOWARM_LOG", "nonsense=level,debug").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        child.wait().unwrap().code()
    };
    for redirect in ["", "2>&-", "2>/dev/full", ">&- 2>&- <&-"] {
        assert_eq!(shell(redirect, scratch.name(2)), Some(0), "{redirect}");
        assert_eq!(shell(redirect, "00000002.history"), Some(1), "{redirect}");
        assert_eq!(shell(redirect, "nonsense"), Some(200), "{redirect}");
    }
}

#[test]
fn sigterm_ends_it_at_once_by_the_signal() {
    let scratch = Scratch::new();
    let mut call = scratch.start(scratch.name(0));
    call.waits_for("it has not arrived");
    call.signal(Signal::SIGTERM);
    let ended = call.end();
    assert_eq!((ended.code, ended.signal), (None, Some(Signal::SIGTERM as i32)));
}

#[test]
fn a_killed_postmaster_ends_the_wait_and_never_a_recovery() {
    let scratch = Scratch::new();
    let mut postmaster = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid_file = |pid: u32| scratch.write("postmaster.pid", format!("{pid}\n/d\n1\n"));
    pid_file(postmaster.id());
    let mut first = scratch.start(scratch.name(0));
    let mut second = scratch.start(scratch.name(0));
    first.waits_for("it has not arrived");
    second.waits_for("it has not arrived");
    postmaster.kill().unwrap();
    first.exits(200);
    postmaster.wait().unwrap();
    second.exits(200);
    // Also if it was killed before the call looked, and with any trigger.
    for trigger in [None, Some("smart"), Some("fast")] {
        trigger.iter().for_each(|content| scratch.write("trigger", content));
        scratch.run(scratch.name(0)).exited(200);
    }
}

/// The file that `pg_ctl promote` creates.
#[test]
fn a_promote_file_is_obeyed_if_it_is_younger_than_the_server() {
    let scratch = Scratch::new();
    scratch.ship(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let pid = std::process::id();
    scratch.write("postmaster.pid", format!("{pid}\n/d\n{}\n", now - 100));
    let promote = scratch.data().join("promote");
    let mut file = fs::File::create(&promote).unwrap();
    file.write_all(b"").unwrap();
    let date = |age| file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    date(1000);
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    drop(call);
    fs::remove_file(&promote).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    fs::File::create(&promote).unwrap();
    call.exits(1);
    // The server repeats its requests before recovery ends.
    scratch.assert_absent(scratch.name(1));
    scratch.assert_restores(0);
    scratch.assert_absent("00000002.history");
}
