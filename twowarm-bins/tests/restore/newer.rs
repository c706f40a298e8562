//! restoreWALFile for a server of an unknown, newer version: it checks name, size, cluster and position only.

use std::fs;

use crate::support::{NEWER_MAJOR, Scratch, newer_control, newer_segment};

/// The data directory of such a server.
fn newer() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("PG_VERSION", format!("{NEWER_MAJOR}\n"));
    scratch.write("global/pg_control", newer_control(&scratch.cluster.control));
    scratch
}

fn bytes(scratch: &Scratch, number: usize) -> Vec<u8> {
    newer_segment(scratch.bytes(number))
}

/// Writes the postmaster.pid of a running server in this state.
fn server(scratch: &Scratch, status: &str) {
    let pid = std::process::id();
    let data = scratch.data();
    scratch.write(
        "postmaster.pid",
        format!("{pid}\n{}\n0\n5432\n/tmp\n\n 1 1\n{status}\n", data.display()),
    );
}

#[test]
fn its_segments_are_restored_with_one_warning_each() {
    let scratch = newer();
    for number in 1..4 {
        scratch.put(scratch.name(number), bytes(&scratch, number));
        let ended = scratch.run(scratch.name(number));
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(scratch.restored() == Some(bytes(&scratch, number)));
        let warnings = ended.said.lines().filter(|line| line.contains("WARNING"));
        assert_eq!(warnings.count(), 1, "{}", ended.said);
        assert!(ended.said.contains("records are not checked"), "{}", ended.said);
        fs::rename(
            scratch.archived(scratch.name(number)),
            scratch.data().join("pg_wal").join(scratch.name(number)),
        )
        .unwrap();
    }
}

#[test]
fn other_content_is_not_restored_and_the_call_waits() {
    let right = bytes(&newer(), 1);
    let half = right[..right.len() / 2].to_vec();
    let changed = |at: usize, byte: u8| {
        let mut other = right.clone();
        other[at] = byte;
        other
    };
    let another = newer_segment(&newer().cluster.segments[4].1);
    for (content, words) in [
        (None, "it has not arrived"),
        (Some(half), "is not complete yet"),
        (Some(another), "recycled segment or has the wrong name"),
        (Some(changed(24, right[24] ^ 1)), "of another cluster"),
        (Some(changed(1, 0xE1)), "magic number E140"),
        (Some(newer().bytes(1).to_vec()), "not 20"),
        (Some(vec![0; right.len()]), "magic number 0000"),
    ] {
        let scratch = newer();
        if let Some(content) = content {
            scratch.put_old(scratch.name(1), content);
        }
        let mut call = scratch.start(scratch.name(1));
        call.waits_for(words);
        assert_eq!(scratch.restored(), None);
        scratch.put(scratch.name(1), &right);
        call.exits(0);
        assert!(scratch.restored().as_ref() == Some(&right));
    }
}

#[test]
fn in_standby_mode_an_absent_segment_is_reported() {
    let scratch = newer();
    scratch.write("standby.signal", "");
    scratch.write_local("2warm.toml", "[restore]\nwait_limit = 1\n");
    scratch.assert_absent(scratch.name(1));
    scratch.assert_absent("00000002.history");
    scratch.put(scratch.name(1), bytes(&scratch, 1));
    scratch.run(scratch.name(1)).exited(0);
}

#[test]
fn it_is_promoted_by_a_smart_trigger() {
    let scratch = newer();
    scratch.put(scratch.name(1), bytes(&scratch, 1));
    scratch.write("trigger", "smart\n");
    scratch.run(scratch.name(1)).exited(0);
    assert!(scratch.restored() == Some(bytes(&scratch, 1)));
    scratch.assert_absent(scratch.name(2));
}

/// How much WAL the server needs to become consistent is known from pg_control only, whose format is unknown here.
/// So a fast trigger refuses nothing before the server accepts connections.
#[test]
fn fast_refuses_segments_once_the_server_is_open() {
    let scratch = newer();
    scratch.put(scratch.name(1), bytes(&scratch, 1));
    scratch.write("trigger", "fast\n");
    server(&scratch, "starting");
    scratch.run(scratch.name(1)).exited(0);
    scratch.restored();
    server(&scratch, "ready   ");
    scratch.assert_absent(scratch.name(1));
}

#[test]
fn a_known_version_gets_no_newer_wal() {
    let scratch = Scratch::new();
    scratch.put_old(scratch.name(1), bytes(&scratch, 1));
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("magic number D140");
    assert_eq!(scratch.restored(), None);
    scratch.ship(1);
    call.exits(0);
}
