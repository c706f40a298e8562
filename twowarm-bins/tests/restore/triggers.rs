//! How a trigger file changes restoreWALFile's answers, in all requests that a server makes until the end of
//! recovery.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::{Call, LIMIT, Scratch, cluster, node_without_server, wait_until};

/// Runs a line as an administrator would type it.
fn shell(scratch: &Scratch, line: &str) {
    let done = Command::new("/bin/sh").args(["-c", line]).current_dir(scratch.data()).status();
    assert!(done.expect("/bin/sh can be run").success());
}

#[test]
fn smart_restores_what_has_arrived() {
    for content in ["", "smart", "smart\n"] {
        let scratch = Scratch::new();
        (0..3).for_each(|number| scratch.ship(number));
        scratch.write("trigger", content);
        (0..3).for_each(|number| scratch.assert_restores(number));
        let next = scratch.name(3);
        // From 15 on the server requests it twice.
        scratch.assert_absent(next);
        scratch.assert_absent(next);
        scratch.assert_restores(2);
        scratch.assert_absent("00000002.history");
        assert_eq!(scratch.read("trigger"), content);
    }
}

#[test]
fn smart_ends_a_wait() {
    let scratch = Scratch::new();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    shell(&scratch, ": > trigger");
    call.exits(1);
}

#[test]
fn fast_refuses_the_next_segment_and_remembers_it() {
    let scratch = Scratch::full();
    let (before, met, after) = (3, 4, 5);
    scratch.assert_restores(before);
    scratch.write("trigger", "fast\n");
    let said = scratch.assert_absent(scratch.name(met));
    assert!(said.contains("fast trigger"), "{said}");
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(met)));
    scratch.assert_absent(scratch.name(met));
    scratch.assert_absent(scratch.name(after));
    (0..=before).for_each(|number| scratch.assert_restores(number));
    let elsewhere = |number: usize| format!("00000002{}", &scratch.name(number)[8..]);
    scratch.put(&elsewhere(met), scratch.bytes(met));
    scratch.assert_absent(&elsewhere(met));
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(met)));
    // A trigger does not affect history files: the number of the new timeline depends on them.
    scratch.assert_absent("00000003.history");
    scratch.put("00000002.history", scratch.left(1, 0x1000));
    scratch.run("00000002.history").exited(0);
}

#[test]
fn fast_ends_a_wait_without_reading_the_archive() {
    let scratch = Scratch::new();
    fs::rename(scratch.data().join("archive"), scratch.data().join("away")).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("could not read the archive directory");
    shell(&scratch, "echo fast > trigger");
    call.exits(1);
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(1)));
}

/// A server can't start without the segment of its checkpoint.
#[test]
fn fast_does_not_refuse_what_the_server_needs_to_open() {
    let scratch = Scratch::full();
    scratch.write("trigger", "fast");
    scratch.assert_restores(0);
    assert_eq!(scratch.read("trigger"), "fast");
    scratch.assert_absent(scratch.name(1));
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(1)));
}

/// Only the WAL says where a base backup ends, so all of it is needed.
#[test]
fn fast_does_not_refuse_the_wal_of_a_base_backup() {
    let scratch = Scratch::full();
    let start = scratch.name(0);
    scratch.write(
        "backup_label",
        format!(
            "START WAL LOCATION: 0/{0}00028 (file {start})\nCHECKPOINT LOCATION: 0/{0}00060\n\
             BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-01-01 00:00:00 UTC\n\
             LABEL: x\nSTART TIMELINE: 1\n",
            start[16..].trim_start_matches('0'),
        ),
    );
    scratch.write("trigger", "fast");
    (0..4).for_each(|number| scratch.assert_restores(number));
    fs::remove_file(scratch.data().join("backup_label")).unwrap();
    scratch.assert_absent(scratch.name(4));
}

/// The server's user can't write to a trigger file of root, which must still remember what was refused.
#[test]
fn a_trigger_file_of_another_user_remembers_too() {
    let node = node_without_server();
    let trigger = node.pgdata().join("trigger");
    fs::write(&trigger, "fast\n").unwrap();
    fs::set_permissions(&trigger, fs::Permissions::from_mode(0o444)).unwrap();
    let name = &cluster().segments[1].0;
    let mut command = node.command("restoreWALFile");
    command.args([name, "restored"]);
    Call::start(command).exits(1);
    assert_eq!(fs::read_to_string(&trigger).unwrap(), format!("fast {name}\n"));
}

/// A shell creates the file empty, which means smart, before it writes "fast" into it. What the trigger file
/// remembers tells which of the two was obeyed.
#[test]
fn echo_fast_is_never_taken_for_smart() {
    let waiting = || {
        let scratch = Scratch::new();
        for turn in 0..100 {
            let mut call = scratch.start(scratch.name(1));
            call.waits_for("it has not arrived");
            shell(&scratch, "echo fast > trigger");
            check_fast(&scratch, call, turn);
        }
    };
    let starting = || {
        let scratch = Scratch::new();
        for turn in 0..100 {
            let call = scratch.start(scratch.name(1));
            shell(&scratch, "echo fast > trigger");
            check_fast(&scratch, call, turn);
        }
    };
    let emptied = || {
        let scratch = Scratch::new();
        for turn in 0..100 {
            scratch.write("trigger", "not yet");
            let mut call = scratch.start(scratch.name(1));
            call.waits_for("it has not arrived");
            shell(&scratch, "echo fast > trigger");
            check_fast(&scratch, call, turn);
        }
    };
    thread::scope(|threads| {
        let first = threads.spawn(waiting);
        let others = [threads.spawn(starting), threads.spawn(waiting), threads.spawn(starting)];
        emptied();
        std::iter::once(first).chain(others).for_each(|done| done.join().unwrap());
    });
}

fn check_fast(scratch: &Scratch, call: Call, turn: u32) {
    let ended = call.end();
    assert_eq!(ended.code, Some(1), "turn {turn}: {}", ended.said);
    let remembered = format!("fast {}\n", scratch.name(1));
    assert_eq!(scratch.read("trigger"), remembered, "turn {turn}: {}", ended.said);
    fs::remove_file(scratch.data().join("trigger")).expect("the file was just read");
}

#[test]
fn a_trigger_is_read_when_its_writer_has_closed_it() {
    use std::io::Write;
    let scratch = Scratch::new();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    let mut trigger = fs::File::create(scratch.data().join("trigger")).unwrap();
    call.looks_again(2);
    // An empty trigger file of this age is obeyed, unless it is still open for writing.
    trigger.set_modified(SystemTime::now() - Duration::from_secs(1)).unwrap();
    call.looks_again(5);
    assert!(!call.has_ended(), "{}", call.said());
    trigger.write_all(b"fast").unwrap();
    drop(trigger);
    check_fast(&scratch, call, 0);
}

#[test]
fn an_invalid_trigger_file_is_ignored_with_a_warning() {
    let scratch = Scratch::new();
    scratch.ship(0);
    scratch.write("trigger", "FAST\n");
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("is ignored");
    assert!(call.said().contains("contains \"FAST\""), "{}", call.said());
    fs::remove_file(scratch.data().join("trigger")).unwrap();
    fs::create_dir(scratch.data().join("trigger")).unwrap();
    call.waits_for("could not read the trigger file");
    scratch.assert_restores(0);
    fs::remove_dir(scratch.data().join("trigger")).unwrap();
    scratch.write("trigger", "smart");
    call.exits(1);
}

#[test]
fn smart_sets_aside_what_is_not_the_segment() {
    let scratch = Scratch::full();
    let name = scratch.name(4);
    scratch.put_old(name, scratch.bytes(2));
    scratch.write("trigger", "smart");
    let said = scratch.assert_absent(name);
    assert!(said.contains("recovery ends before") && said.contains(".foreign"), "{said}");
    let aside = format!("{name}.foreign");
    assert!(fs::read(scratch.archived(&aside)).unwrap() == scratch.bytes(2));
    assert!(!scratch.archived(name).exists());
    scratch.assert_absent(name);
    // A second one does not replace the first.
    scratch.put_old(name, scratch.bytes(1));
    scratch.assert_absent(name);
    assert!(fs::read(scratch.archived(&aside)).unwrap() == scratch.bytes(2));
    assert!(fs::read(scratch.archived(&format!("{aside}.2"))).unwrap() == scratch.bytes(1));
}

/// Regression: the whole segment was set aside, and the transactions before the damage were lost.
#[test]
fn smart_restores_a_damaged_segment_and_keeps_a_copy() {
    let scratch = Scratch::full();
    let mut damaged = scratch.bytes(4).to_vec();
    let used = damaged.iter().rposition(|&b| b != 0).unwrap();
    damaged[used / 2] ^= 1;
    scratch.put(scratch.name(4), &damaged);
    scratch.write("trigger", "smart");
    let corrupt = format!("{}.corrupt", scratch.name(4));
    // The server requests its last segment again.
    for _ in 0..2 {
        let ended = scratch.run(scratch.name(4));
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(ended.said.contains("damaged") && ended.said.contains(&corrupt), "{}", ended.said);
        assert!(scratch.restored().unwrap() == damaged);
    }
    // The copy is made after the answer.
    let kept = scratch.archived(&corrupt);
    wait_until("the copy to be kept", LIMIT, || kept.exists()).unwrap();
    assert!(fs::read(kept).unwrap() == damaged);
    assert!(!scratch.archived(&format!("{corrupt}.2")).exists());
}

/// The primary crashed in this segment. The transactions in it must not be lost.
#[test]
fn smart_restores_an_unfinished_segment_with_a_warning() {
    let scratch = Scratch::full();
    let mut unfinished = scratch.bytes(4).to_vec();
    let used = unfinished.iter().rposition(|&b| b != 0).unwrap();
    unfinished[used / 2..].fill(0);
    scratch.put(scratch.name(4), &unfinished);
    scratch.write("trigger", "smart");
    let ended = scratch.run(scratch.name(4));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("recovery ends there"), "{}", ended.said);
    assert!(scratch.restored().unwrap() == unfinished);
}

/// A server rejects a file of another size, and the transactions in the part that arrived must not be lost.
#[test]
fn smart_restores_a_segment_of_another_size_in_the_right_size() {
    let scratch = Scratch::full();
    scratch.write("trigger", "smart");
    let whole = scratch.bytes(1);
    let mut part = whole[..100_000].to_vec();
    scratch.put(scratch.name(1), &part);
    let ended = scratch.run(scratch.name(1));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("incomplete"), "{}", ended.said);
    part.resize(whole.len(), 0);
    assert!(scratch.restored().unwrap() == part);
    scratch.put(scratch.name(2), [scratch.bytes(2), b"more"].concat());
    scratch.run(scratch.name(2)).exited(0);
    assert!(scratch.restored().unwrap() == scratch.bytes(2));
}

#[test]
fn smart_reports_an_unreadable_archive_and_a_truncated_header_as_absent() {
    let scratch = Scratch::full();
    scratch.write("trigger", "smart");
    scratch.put(scratch.name(1), &scratch.bytes(1)[..20]);
    let said = scratch.assert_absent(scratch.name(1));
    assert!(said.contains("treated as") && said.contains("not complete"), "{said}");
    fs::rename(scratch.data().join("archive"), scratch.data().join("away")).unwrap();
    for name in [scratch.name(2), "00000002.history"] {
        let said = scratch.assert_absent(name);
        assert!(said.contains("treated as") && said.contains("archive directory"), "{said}");
    }
}

/// A full disk must not lose a segment that has arrived: the server stops and can be started again.
#[test]
fn smart_on_a_full_disk_stops_the_server() {
    let scratch = Scratch::full();
    scratch.write("trigger", "smart");
    let line =
        "trap '' XFSZ; ulimit -f 100; exec ../2warm/global/replication/restoreWALFile \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, "sh", scratch.name(1), "pg_wal/RECOVERYXLOG"]);
    command.current_dir(scratch.data());
    let mut call = Call::start(command);
    call.waits_for("could not write");
    wait_until("the call to give up", LIMIT, || call.has_ended()).unwrap();
    let ended = call.end();
    assert_eq!(ended.code, Some(200), "{}", ended.said);
    assert!(ended.said.contains("Free space"), "{}", ended.said);
    assert_eq!(scratch.restored(), None);
    assert!(ended.said.lines().count() < 6, "{}", ended.said);
}

/// Opening the file never returns, as on a network file system whose server is down.
#[test]
fn a_hung_archive_does_not_delay_a_failover() {
    for order in ["smart", "fast", "promote"] {
        let scratch = Scratch::new();
        let name = scratch.name(2);
        let made = std::process::Command::new("mkfifo").arg(scratch.archived(name)).status();
        assert!(made.unwrap().success());
        scratch.write_local("2warm.toml", "time_limit = 1\n");
        let call = scratch.start(name);
        match order {
            "promote" => scratch.write("promote", ""),
            order => scratch.write("trigger", order),
        }
        call.exits(1);
    }
}
