//! Failures around pg_standby: the exit code is the original's, no partial file is left, the message names the
//! reason, and the next call works.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::support::{Call, NAME, Scratch, names_in, segment};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use twowarm_core::testbed::finish;

/// A user id that owns no file of the test.
const STRANGER: &str = "65534";

/// The same call as a user other than root, since file modes do not stop root.
fn as_stranger(scratch: &Scratch, call: Command) -> Command {
    if !geteuid().is_root() {
        return call;
    }
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o755))
        .expect("the scratch directory is writable");
    fs::set_permissions(scratch.path("pg_wal"), Permissions::from_mode(0o777))
        .expect("the scratch directory is writable");
    // Other users may be unable to enter the build directory.
    let program = scratch.path("pg_standby");
    finish(Command::new("cp").arg(call.get_program()).arg(&program)).expect("the copy succeeds");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]).arg(program);
    command.args(call.get_args()).current_dir(scratch.path(""));
    command
}

fn mode(scratch: &Scratch, name: &str, mode: u32) {
    fs::set_permissions(scratch.path(name), Permissions::from_mode(mode))
        .expect("the scratch directory is writable");
}

/// The original finds no file and waits.
#[test]
fn an_archive_that_may_not_be_entered_is_waited_for() {
    let scratch = Scratch::full();
    mode(&scratch, "archive", 0o000);
    let mut call = Call::start(as_stranger(&scratch, scratch.ask(&["-d", "-s", "1"])));
    call.says("not present yet");
    mode(&scratch, "archive", 0o755);
    scratch.assert_restores(call);
}

/// The original opens the segment for writing, which fails, and waits for ever.
#[test]
fn a_read_only_archive_serves() {
    let scratch = Scratch::full();
    mode(&scratch, &format!("archive/{NAME}"), 0o444);
    mode(&scratch, "archive", 0o555);
    let mut command = scratch.ask(&["-s", "1", "-w", "5"]);
    command.arg("000000010000000C00000099");
    let call = Call::start(as_stranger(&scratch, command));
    scratch.assert_restores(call);
    mode(&scratch, "archive", 0o755);
}

#[test]
fn a_segment_that_may_not_be_read_is_a_failed_copy() {
    let scratch = Scratch::full();
    mode(&scratch, &format!("archive/{NAME}"), 0o000);
    for dialect in ["8.4", "8.3"] {
        // In this dialect the size alone decides whether to copy.
        scratch.put(&format!("archive/{NAME}"), vec![1; 16 << 20]);
        mode(&scratch, &format!("archive/{NAME}"), 0o000);
        let options = ["--dialect", dialect, "-s", "1", "-r", "1"];
        let call = Call::start(as_stranger(&scratch, scratch.ask(&options)));
        let said = call.exits(if dialect == "8.3" { 0 } else { 1 });
        assert!(said.contains("denied"), "{said}");
        scratch.assert_nothing_restored();
    }
}

#[test]
fn a_history_that_may_not_be_read_is_not_taken_for_absent() {
    let scratch = Scratch::new();
    scratch.put("archive/00000002.history", "1\t0/0\tx\n");
    mode(&scratch, "archive/00000002.history", 0o000);
    let ask = ["-s", "1", "-r", "1", "archive", "00000002.history", "pg_wal/X"];
    let said = Call::start(as_stranger(&scratch, scratch.command(ask))).exits(1);
    assert!(said.contains("denied"), "{said}");
    scratch.assert_nothing_restored();
}

/// A limit on the size of files stands in for a full disk. Its signal is ignored, so that the copy fails with an
/// error.
#[test]
fn a_full_target_leaves_no_partial_file() {
    for (dialect, code) in [("13", 1), ("8.3", 0)] {
        let scratch = Scratch::full();
        if dialect == "8.3" {
            scratch.put(&format!("archive/{NAME}"), vec![1; 16 << 20]);
        }
        let ask = scratch.ask(&["--dialect", dialect, "-s", "1", "-r", "1"]);
        let mut command = Command::new("/bin/bash");
        command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
        let said = Call::start(scratch.wrapped(command, &ask)).exits(code);
        assert!(said.contains("could not copy"), "{said}");
        scratch.assert_nothing_restored();
    }
}

/// A real full file system, if the test can mount one.
#[test]
fn a_full_file_system_leaves_no_partial_file() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::full();
    let ask = scratch.ask(&["-s", "1", "-r", "1"]);
    let mut command = Command::new("unshare");
    // The mount ends with its namespace. 77: mounting is not allowed here.
    command.args(["-m", "/bin/sh", "-c"]);
    command.arg(
        "mount -t tmpfs -o size=512k none pg_wal || exit 77; \"$0\" \"$@\"; code=$?; ls -A pg_wal; exit $code",
    );
    let ended = Call::start(scratch.wrapped(command, &ask)).end();
    if ended.code != Some(77) && !ended.said.contains("unshare failed") {
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(ended.said.contains("No space left"), "{}", ended.said);
        assert!(!ended.said.contains("RECOVERYXLOG\n"), "{}", ended.said);
    }
}

#[test]
fn an_archive_that_is_missing_or_a_file_ends_as_in_the_original() {
    let scratch = Scratch::new();
    let said = Call::start(scratch.command(["nowhere", NAME, "pg_wal/X"])).exits(2);
    assert!(said.contains("nowhere"), "{said}");
}

/// Standard error is the server's log, whose reader may be gone.
#[test]
fn messages_that_can_not_be_written_change_nothing() {
    for redirection in [">&- 2>&-", "2>&-", ">/dev/full 2>/dev/full"] {
        let scratch = Scratch::full();
        let ask = scratch.ask(&["-d", "-s", "1"]);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("exec \"$0\" \"$@\" {redirection}"));
        scratch.assert_restores(Call::start(scratch.wrapped(command, &ask)));
    }
    let scratch = Scratch::full();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = scratch.ask(&["-d"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(scratch.restored() == Some(segment()));
}

/// Killed at system calls of the copy. The server removes what a killed call leaves, and the next call replaces it.
#[test]
fn killed_at_any_moment_the_next_call_works() {
    let calls = ["copy_file_range", "openat", "unlink", "statx", "sendfile", "read"];
    for name in calls {
        for when in 1..=3 {
            let scratch = Scratch::full();
            let how = format!("signal=SIGKILL:when={when}");
            let ended = Call::start(scratch.tampered(name, &how, &scratch.ask(&["-s", "1"]))).end();
            let killed = ended.signal == Some(Signal::SIGKILL as i32);
            assert!(killed || ended.code == Some(0), "{name} {when}: {ended:?}");
            scratch.assert_restores(scratch.start(&["-s", "1"]));
        }
    }
}

/// A signal with a handler interrupts system calls.
#[test]
fn an_interrupted_call_is_made_again() {
    for name in ["copy_file_range", "openat", "read", "poll"] {
        let scratch = Scratch::full();
        let call = scratch.tampered(name, "error=EINTR:when=4", &scratch.ask(&["-s", "1"]));
        scratch.assert_restores(Call::start(call));
    }
}

/// The original passes paths to a shell.
#[test]
fn paths_with_characters_that_are_special_to_a_shell() {
    for odd in ["it's", "a \"b\" c", "$HOME", "`id`", "a\\b", "x;y", "-n", "*", "new\nline", " "] {
        let scratch = Scratch::new();
        let (archive, target) = (scratch.path(odd), scratch.path(format!("to {odd}")));
        fs::create_dir(&archive).unwrap();
        fs::write(archive.join(NAME), segment()).unwrap();
        let trigger = scratch.path(format!("trigger {odd}"));
        let mut command = scratch.command(["-s", "1", "-t"]);
        command.arg(trigger).arg(&archive).arg(NAME).arg(&target);
        Call::start(command).exits(0);
        assert!(fs::read(target).unwrap() == segment(), "{odd:?}");
    }
}

#[test]
fn long_paths_are_not_cut() {
    let scratch = Scratch::new();
    let deep = (0..6).fold(scratch.path("archive"), |path, _| path.join("d".repeat(200)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join(NAME), segment()).unwrap();
    let mut command = scratch.command(["-s", "1"]);
    command.arg(&deep).arg(NAME).arg(scratch.path("pg_wal/RECOVERYXLOG"));
    scratch.assert_restores(Call::start(command));
}

#[test]
fn a_target_that_is_the_source_is_refused() {
    for dialect in ["13", "8.3"] {
        let scratch = Scratch::new();
        let content = if dialect == "13" { segment() } else { vec![1; 16 << 20] };
        scratch.put(&format!("archive/{NAME}"), &content);
        symlink(scratch.path("archive"), scratch.path("other")).unwrap();
        for target in [format!("archive/{NAME}"), format!("other/{NAME}"), "archive".to_owned()] {
            for link in ["-c", "-l"] {
                let options = ["--dialect", dialect, link, "-r", "0", "-s", "1", "archive", NAME];
                let mut command = scratch.command(options);
                command.arg(&target);
                let said = Call::start(command).exits(i32::from(dialect == "13"));
                assert!(said.contains("the same file"), "{said}");
                assert!(fs::read(scratch.archived()).unwrap() == content, "{target}");
                assert!(!scratch.archived().is_symlink());
            }
        }
    }
}

/// pg_standby leaves no file of its own in the archive or the working directory, however it ends.
#[test]
fn nothing_is_left_behind() {
    let scratch = Scratch::full();
    scratch.start(&["-s", "1"]).exits(0);
    let mut waits =
        scratch.command(["-s", "60", "archive", "000000010000000C0000009A", "pg_wal/X"]);
    waits.arg("000000010000000C00000001");
    let mut call = Call::start(waits);
    call.watches().signal(Signal::SIGTERM);
    assert_eq!(call.end().signal, Some(Signal::SIGTERM as i32));
    let names = |name| names_in(&scratch.path(name));
    assert_eq!(names(""), ["archive", "pg_wal"]);
    assert_eq!(names("archive"), [NAME]);
    assert_eq!(names("pg_wal"), ["RECOVERYXLOG"]);
    File::open(scratch.archived()).unwrap();
}

/// The original opens every trigger file for writing, and ignores one where that fails.
#[test]
fn a_read_only_smart_trigger_is_obeyed() {
    let scratch = Scratch::new();
    scratch.put("trigger", "smart\n");
    mode(&scratch, "trigger", 0o444);
    let call = Call::start(as_stranger(&scratch, scratch.ask(&["-s", "60", "-t", "trigger"])));
    assert!(call.exits(1).contains("smart failover"));
}

/// The original continues its tries for half a minute.
#[test]
fn a_fast_trigger_ends_the_tries_of_a_failing_copy() {
    let scratch = Scratch::full();
    let options = ["-s", "60", "-t", "trigger", "archive", NAME, "nowhere/X"];
    let mut call = Call::start(scratch.command(options));
    call.says("could not copy").watches();
    scratch.put("trigger", "fast");
    assert!(call.exits(1).contains("fast failover"));
}

/// The original remembers what it read first, so that a segment that is overwritten in place is never ready.
#[test]
fn a_segment_that_begins_with_zeros_is_read_again() {
    let scratch = Scratch::new();
    scratch.put(&format!("archive/{NAME}"), vec![0; 1 << 20]);
    let mut call = scratch.start(&["-s", "60"]);
    call.says("is not a WAL segment").watches();
    scratch.put(&format!("archive/{NAME}"), segment());
    scratch.assert_restores(call);
}
