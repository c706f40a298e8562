//! Problems that restoreWALFile waits for to end, and how soon it notices that they have ended.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Call, Scratch, cluster, node_without_server};

/// Asserts that the call reports `words` and waits, and that it restores the segment once this arrives.
fn waits_until_shipped(scratch: &Scratch, mut call: Call, words: &str) {
    call.waits_for(words);
    assert_eq!(scratch.restored(), None, "nothing is left at the target");
    scratch.ship(1);
    call.exits(0);
    assert!(scratch.restored().as_deref() == Some(scratch.bytes(1)));
}

/// Asserts that a call waits, with these words, while the segment's file has this content.
fn waits_out(content: &[u8], words: &str) {
    let scratch = Scratch::new();
    scratch.put_old(scratch.name(1), content);
    let call = scratch.start(scratch.name(1));
    waits_until_shipped(&scratch, call, words);
}

#[test]
fn an_absent_segment() {
    let scratch = Scratch::new();
    let call = scratch.start(scratch.name(1));
    waits_until_shipped(&scratch, call, "it has not arrived");
}

#[test]
fn a_truncated_segment() {
    let whole = &cluster().segments[1].1;
    for bytes in [0, 1, 39, 8192, whole.len() / 2, whole.len() - 1] {
        waits_out(&whole[..bytes], "is not complete yet");
    }
}

#[test]
fn a_segment_that_is_too_long() {
    let mut longer = cluster().segments[1].1.clone();
    longer.push(0);
    waits_out(&longer, "more than a segment");
}

#[test]
fn a_damaged_record() {
    // In a segment that is full, so that the byte belongs to a record.
    let scratch = Scratch::new();
    let number = (1..cluster().segments.len())
        .find(|&number| scratch.bytes(number).iter().rev().take(8192).any(|&b| b != 0))
        .unwrap();
    let mut damaged = scratch.bytes(number).to_vec();
    let middle = damaged.len() / 2 + 100;
    damaged[middle] ^= 0x10;
    scratch.put_old(scratch.name(number), damaged);
    let mut call = scratch.start(scratch.name(number));
    call.waits_for("incomplete or damaged");
    assert!(call.said().contains("checksum") || call.said().contains("length"), "{}", call.said());
    scratch.ship(number);
    call.exits(0);
}

/// A file that is sent again has the modification time of the primary's file, and may get the same inode.
#[test]
fn a_segment_that_is_replaced_by_one_with_the_same_time() {
    let scratch = Scratch::new();
    let mut damaged = scratch.bytes(1).to_vec();
    damaged[40] ^= 1;
    scratch.put_old(scratch.name(1), damaged);
    let archived = OpenOptions::new().write(true).open(scratch.archived(scratch.name(1))).unwrap();
    let modified = archived.metadata().unwrap().modified().unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("incomplete or damaged");
    call.signal_worker(Signal::SIGSTOP);
    archived.write_all_at(scratch.bytes(1), 0).unwrap();
    archived.set_modified(modified).unwrap();
    call.signal_worker(Signal::SIGCONT);
    call.exits(0);
    assert!(scratch.restored().as_deref() == Some(scratch.bytes(1)));
}

/// Damage to a record that spans two segments shows only if both are read.
#[test]
fn a_damaged_record_that_crosses_into_the_segment() {
    let scratch = Scratch::full();
    let number = (1..cluster().segments.len()).find(|&n| scratch.bytes(n)[2] & 1 != 0).unwrap();
    // Damage in the part that is in the second segment.
    let mut damaged = scratch.bytes(number).to_vec();
    damaged[40] ^= 1;
    scratch.put_old(scratch.name(number), damaged);
    let mut call = scratch.start(scratch.name(number));
    call.waits_for("as it crosses from");
    assert_eq!(scratch.restored(), None);
    scratch.ship(number);
    call.exits(0);
    // Damage in the part that is in the first segment, also in the server's own copy.
    let mut damaged = scratch.bytes(number - 1).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    scratch.put_old(scratch.name(number - 1), &damaged);
    assert_eq!(
        scratch.run(scratch.name(number - 1)).code,
        Some(0),
        "the segment alone does not show the damage"
    );
    let mut call = scratch.start(scratch.name(number));
    call.waits_for("as it crosses from");
    scratch.write(&format!("pg_wal/{}", scratch.name(number - 1)), &damaged);
    scratch.ship(number - 1);
    let mut call = scratch.start(scratch.name(number));
    call.waits_for("as it crosses from");
    scratch.write(&format!("pg_wal/{}", scratch.name(number - 1)), scratch.bytes(number));
    scratch.assert_restores(number);
}

#[test]
fn a_zeroed_tail() {
    let mut cut = cluster().segments[1].1.clone();
    let from = cut.iter().rposition(|&b| b != 0).unwrap();
    cut[from - 200..].fill(0);
    waits_out(&cut, "incomplete or damaged");
}

#[test]
fn zeros() {
    waits_out(&vec![0; cluster().segments[1].1.len()], "magic number 0000");
}

#[test]
fn a_segment_of_another_cluster() {
    let scratch = Scratch::new();
    let (name, content) = &cluster().foreign;
    scratch.put_old(name, content);
    let mut call = scratch.start(name);
    call.waits_for("of another cluster: system identifier");
}

#[test]
fn recycled_content() {
    waits_out(&cluster().segments[4].1, "recycled segment or has the wrong name");
}

#[test]
fn a_segment_of_another_size() {
    let mut other = cluster().segments[1].1.clone();
    let twice = 2 * other.len() as u32;
    // xlp_seg_size of the long page header.
    other[32..36].copy_from_slice(&twice.to_le_bytes());
    waits_out(&other, "segment size");
}

#[test]
fn a_segment_of_another_major() {
    let mut other = cluster().segments[1].1.clone();
    other[..2].copy_from_slice(&0xD093_u16.to_le_bytes());
    waits_out(&other, "was written by PostgreSQL 9.6");
}

#[test]
fn a_directory_in_place_of_the_segment() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.archived(scratch.name(1))).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("could not read");
    fs::remove_dir(scratch.archived(scratch.name(1))).unwrap();
    scratch.ship(1);
    call.exits(0);
}

/// A disk that is not mounted: no file is known to be absent, and no timeline history file either.
#[test]
fn a_missing_archive() {
    let scratch = Scratch::full();
    let (archive, away) = (scratch.data().join("archive"), scratch.data().join("away"));
    fs::rename(&archive, &away).unwrap();
    let mut segment = scratch.start(scratch.name(1));
    let mut history = scratch.start("00000002.history");
    segment.waits_for("could not read the archive directory");
    history.waits_for("could not read the archive directory");
    fs::rename(&away, &archive).unwrap();
    segment.exits(0);
    history.exits(1);
}

#[test]
fn an_archive_that_becomes_another_directory_is_watched_again() {
    let scratch = Scratch::new();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    fs::rename(scratch.data().join("archive"), scratch.data().join("away")).unwrap();
    call.waits_for("could not read the archive directory");
    fs::create_dir(scratch.data().join("archive")).unwrap();
    waits_until_shipped(&scratch, call, "could not read");
}

/// File modes do not stop root, so the call is made as the servers' user.
#[test]
fn an_unreadable_archive() {
    use std::os::unix::fs::PermissionsExt;
    let node = node_without_server();
    let mode =
        |mode| fs::set_permissions(node.archive(), fs::Permissions::from_mode(mode)).unwrap();
    let (name, content) = &cluster().segments[1];
    node.run_as().write(&node.archive().join(name), content).unwrap();
    mode(0o000);
    let mut command = node.command("restoreWALFile");
    command.args([name, "restored"]);
    let mut call = Call::start(command);
    call.says("Permission denied");
    assert!(!call.has_ended());
    mode(0o700);
    call.exits(0);
    assert!(fs::read(node.pgdata().join("restored")).unwrap() == *content);
}

/// A limit on the size of files simulates a full disk, since the test can lift it without being root.
#[test]
fn no_room_for_the_target() {
    let scratch = Scratch::full();
    let line =
        "trap '' XFSZ; ulimit -S -f 100; exec ../2warm/global/replication/restoreWALFile \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, "sh", scratch.name(1), "pg_wal/RECOVERYXLOG"]);
    command.current_dir(scratch.data()).env("TWOWARM_LOG", "debug");
    let mut call = Call::start(command);
    call.waits_for("could not write \"pg_wal/RECOVERYXLOG");
    let lift = Command::new("prlimit")
        .args(["--pid", &call.worker().to_string(), "--fsize=unlimited:unlimited"])
        .status();
    assert!(lift.unwrap().success());
    call.exits(0);
    assert!(scratch.restored().as_deref() == Some(scratch.bytes(1)));
}

#[test]
fn a_damaged_history() {
    let scratch = Scratch::new();
    for content in ["", "nonsense\n", "3\t0/100\tfrom the future\n"] {
        scratch.put_old("00000002.history", content);
        let mut call = scratch.start("00000002.history");
        call.waits_for("damaged in the archive");
        scratch.put("00000002.history", scratch.left(1, 1));
        call.exits(0);
        fs::remove_file(scratch.archived("00000002.history")).unwrap();
    }
}

/// A writer that does not rename: the segment is not restored before it is complete, and then at once.
#[test]
fn a_segment_that_is_written_in_place() {
    let scratch = Scratch::new();
    let (name, whole) = (scratch.name(1), scratch.bytes(1));
    let used = whole.iter().rposition(|&b| b != 0).unwrap();
    for begin_with in [0, whole.len()] {
        let mut call = scratch.start(name);
        call.waits_for("it has not arrived");
        let file = OpenOptions::new().write(true).create_new(true).open(scratch.archived(name));
        let mut file = file.unwrap();
        // Some writers give the file its final size before they fill it.
        file.set_len(begin_with as u64).unwrap();
        for part in whole[..used / 2].chunks(100_000) {
            file.write_all(part).unwrap();
            assert!(!call.has_ended(), "{}", call.said());
        }
        call.waits_for(if begin_with == 0 { "not complete yet" } else { "incomplete or damaged" });
        file.write_all_at(&whole[used / 2..], used as u64 / 2).unwrap();
        drop(file);
        call.exits(0);
        assert!(scratch.restored().as_deref() == Some(whole));
        fs::remove_file(scratch.archived(name)).unwrap();
    }
}

#[test]
fn an_arrival_is_noticed_however_the_file_is_written() {
    let scratch = Scratch::new();
    let in_place = |number: usize| {
        fs::write(scratch.archived(scratch.name(number)), scratch.bytes(number)).unwrap();
    };
    let by_rename = |number: usize| scratch.ship(number);
    let arrivals: [&dyn Fn(usize); 2] = [&by_rename, &in_place];
    for arrive in arrivals {
        for _ in 0..5 {
            let mut call = scratch.start(scratch.name(1));
            call.waits_for("it has not arrived");
            arrive(1);
            call.exits(0);
            fs::remove_file(scratch.archived(scratch.name(1))).unwrap();
        }
    }
}

/// A newer timeline forked from this one: a warning, and exit 200 if a supervisor restarts the server.
#[test]
fn a_superseded_timeline() {
    let scratch = Scratch::new();
    let here = u64::from_str_radix(&scratch.name(1)[16..], 16).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    scratch.put("00000002.history", scratch.left(1, here));
    call.waits_for("timeline 2 forked from this timeline");
    drop(call);
    scratch.write_local("2warm.toml", "[restore]\nrestart_for_timeline = true\n");
    scratch.run(scratch.name(1)).exited(200);
    scratch.put("00000002.history", scratch.left(1, here + 1));
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
}
