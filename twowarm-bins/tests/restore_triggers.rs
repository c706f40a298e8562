//! What a trigger file makes of restoreWALFile's answers, over all the questions that a server asks
//! before its recovery is over.

mod restore_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use restore_support::{Call, LIMIT, Scratch, cluster};
use twowarm_core::testbed::{Testbed, wait_until};

/// As an administrator's shell would.
fn shell(scratch: &Scratch, line: &str) {
    let done = Command::new("/bin/sh").args(["-c", line]).current_dir(scratch.data()).status();
    assert!(done.expect("there is a shell").success());
}

#[test]
fn smart_replays_what_is_there() {
    for content in ["", "smart", "smart\n"] {
        let scratch = Scratch::new();
        (0..3).for_each(|number| scratch.ship(number));
        scratch.write("trigger", content);
        (0..3).for_each(|number| scratch.assert_restores(number));
        let next = scratch.name(3);
        // 15 and later ask twice.
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
    let ended = call.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
}

#[test]
fn fast_refuses_from_where_it_was_met_and_remembers() {
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
    // Histories are answered as ever: the new timeline's number depends on them.
    scratch.assert_absent("00000003.history");
    scratch.put("00000002.history", scratch.left(1, 0x1000));
    assert_eq!(scratch.run("00000002.history").code, Some(0));
}

#[test]
fn fast_ends_a_wait_and_is_answered_before_the_archive() {
    let scratch = Scratch::new();
    fs::rename(scratch.data().join("archive"), scratch.data().join("away")).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("could not read the archive directory");
    shell(&scratch, "echo fast > trigger");
    let ended = call.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(1)));
}

/// A server could not even start without the segment of its checkpoint.
#[test]
fn fast_does_not_refuse_what_the_server_needs_to_open() {
    let scratch = Scratch::full();
    scratch.write("trigger", "fast");
    scratch.assert_restores(0);
    assert_eq!(scratch.read("trigger"), "fast");
    scratch.assert_absent(scratch.name(1));
    assert_eq!(scratch.read("trigger"), format!("fast {}\n", scratch.name(1)));
}

/// Where a base backup ends only its WAL says, so all of it is needed.
#[test]
fn fast_does_not_refuse_a_base_backup_its_wal() {
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

/// Root's trigger file can't be written to by the server's user, yet it has to remember.
#[test]
fn a_trigger_file_of_somebody_else_remembers_too() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db2").unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_restoreWALFile"));
    node.install_commands(binary.parent().unwrap(), &["restoreWALFile"]).unwrap();
    node.run_as().make_dir(&node.pgdata(), 0o700).unwrap();
    node.run_as().make_dir(&node.archive(), 0o700).unwrap();
    let trigger = node.pgdata().join("trigger");
    fs::write(&trigger, "fast\n").unwrap();
    fs::set_permissions(&trigger, fs::Permissions::from_mode(0o444)).unwrap();
    let name = &cluster().segments[1].0;
    let mut command = node.command("restoreWALFile");
    let ended = Call::start(
        {
            command.args([name, "restored"]);
            command
        },
        tempfile::NamedTempFile::new().unwrap(),
    )
    .end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_eq!(fs::read_to_string(&trigger).unwrap(), format!("fast {name}\n"));
}

/// A shell creates the file empty, which means smart, before it writes "fast" into it. The fast answer
/// is told from the smart one by what the trigger remembers.
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
    fs::remove_file(scratch.data().join("trigger")).expect("it was just read");
}

#[test]
fn a_trigger_is_read_when_its_writer_has_closed_it() {
    use std::io::Write;
    let scratch = Scratch::new();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    let mut trigger = fs::File::create(scratch.data().join("trigger")).unwrap();
    // The writer's pause, not ours.
    thread::sleep(std::time::Duration::from_millis(700));
    assert!(!call.has_ended(), "{}", call.said());
    trigger.write_all(b"fast").unwrap();
    drop(trigger);
    check_fast(&scratch, call, 0);
}

#[test]
fn what_is_no_trigger_is_ignored_aloud() {
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
    assert_eq!(call.end().code, Some(1));
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
    // Once more, and nothing set aside before is lost.
    scratch.put_old(name, scratch.bytes(1));
    scratch.assert_absent(name);
    assert!(fs::read(scratch.archived(&aside)).unwrap() == scratch.bytes(2));
    assert!(fs::read(scratch.archived(&format!("{aside}.2"))).unwrap() == scratch.bytes(1));
}

/// It was set aside whole, and all that was committed in front of the damage was lost.
#[test]
fn smart_hands_over_a_damaged_segment_as_it_is_and_keeps_a_copy() {
    let scratch = Scratch::full();
    let mut damaged = scratch.bytes(4).to_vec();
    let used = damaged.iter().rposition(|&b| b != 0).unwrap();
    damaged[used / 2] ^= 1;
    scratch.put(scratch.name(4), &damaged);
    scratch.write("trigger", "smart");
    let corrupt = format!("{}.corrupt", scratch.name(4));
    // The server asks for its last segment again.
    for _ in 0..2 {
        let ended = scratch.run(scratch.name(4));
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(ended.said.contains("damaged") && ended.said.contains(&corrupt), "{}", ended.said);
        assert!(scratch.restored().unwrap() == damaged);
    }
    // It is made after the answer.
    let kept = scratch.archived(&corrupt);
    wait_until("the copy to be kept", LIMIT, || kept.exists()).unwrap();
    assert!(fs::read(kept).unwrap() == damaged);
    assert!(!scratch.archived(&format!("{corrupt}.2")).exists());
}

/// Its server got no further: all that was committed in it is wanted.
#[test]
fn smart_replays_a_segment_that_was_never_finished_to_its_end_and_says_so() {
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

/// A server stops on a file of another size, and what has arrived is wanted.
#[test]
fn smart_hands_over_what_there_is_of_a_segment_in_a_segments_size() {
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
    let ended = scratch.run(scratch.name(2));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(scratch.restored().unwrap() == scratch.bytes(2));
}

#[test]
fn smart_takes_an_unreadable_archive_and_a_bare_beginning_for_absent_aloud() {
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

/// What has arrived is never given up for want of room: the server stops and can be started again.
#[test]
fn smart_without_room_stops_the_server_after_its_patience() {
    let scratch = Scratch::full();
    scratch.write("trigger", "smart");
    let line =
        "trap '' XFSZ; ulimit -f 100; exec ../2warm/global/replication/restoreWALFile \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, "sh", scratch.name(1), "pg_wal/RECOVERYXLOG"]);
    let mut call = scratch.start_command({
        command.current_dir(scratch.data());
        command
    });
    call.waits_for("could not write");
    wait_until("its patience to end", LIMIT, || call.has_ended()).unwrap();
    let ended = call.end();
    assert_eq!(ended.code, Some(200), "{}", ended.said);
    assert!(ended.said.contains("Free space"), "{}", ended.said);
    assert_eq!(scratch.restored(), None);
    assert!(ended.said.lines().count() < 6, "{}", ended.said);
}

/// As on a network file system whose server is away: opening the file does not come back.
#[test]
fn an_archive_that_hangs_holds_no_wanted_failover_up() {
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
        let ended = call.end();
        assert_eq!(ended.code, Some(1), "{order}: {}", ended.said);
    }
}
