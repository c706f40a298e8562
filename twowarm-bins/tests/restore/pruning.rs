//! What restoreWALFile removes from the archive, and what it must never remove.

use twowarm_core::archive::Archive;

use crate::support::{Call, Ended, Scratch, cluster};

/// Restores a segment with this restart point; returns the names that the archive then holds, without the directory
/// of its consumers.
fn restore(scratch: &Scratch, number: usize, restart: &[&str]) -> (Ended, Vec<String>) {
    let ended = Call::start(scratch.command(scratch.name(number), restart)).end();
    let names = scratch.archive().into_iter().filter(|name| name != ".consumers");
    (ended, names.collect())
}

fn assert_keeps_from(scratch: &Scratch, number: usize, restart: &[&str], first: usize) {
    let (ended, names) = restore(scratch, number, restart);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let kept: Vec<_> = cluster().segments[first..].iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, kept, "restored {number} with {restart:?}");
}

#[test]
fn segments_before_the_restart_point_are_removed() {
    let scratch = Scratch::full();
    assert_keeps_from(&scratch, 3, &[scratch.name(0)], 0);
    assert_keeps_from(&scratch, 3, &[scratch.name(2)], 2);
    assert_keeps_from(&scratch, 3, &[scratch.name(3)], 3);
}

#[test]
fn the_timeline_of_the_restart_point_is_ignored() {
    let scratch = Scratch::full();
    let restart = format!("00000005{}", &scratch.name(2)[8..]);
    assert_keeps_from(&scratch, 3, &[&restart], 2);
}

#[test]
fn without_a_restart_point_nothing_is_removed() {
    let scratch = Scratch::full();
    let zeros = "0".repeat(24);
    for restart in [&[][..], &["%r"], &[""], &[zeros.as_str()], &["nonsense"], &["-1"]] {
        assert_keeps_from(&scratch, 5, restart, 0);
    }
}

#[test]
fn a_restart_point_after_the_segment_is_ignored() {
    let scratch = Scratch::full();
    assert_keeps_from(&scratch, 3, &[scratch.name(4)], 0);
}

#[test]
fn keep_applies_if_the_server_names_no_restart_point() {
    let scratch = Scratch::full();
    scratch.write_local("2warm.toml", "[archive]\nkeep = 2\n");
    assert_keeps_from(&scratch, 4, &["%r"], 2);
    // A restart point takes precedence over `keep`.
    assert_keeps_from(&scratch, 6, &[scratch.name(3)], 3);
}

#[test]
fn segments_that_the_dr_node_may_lack_are_kept() {
    let scratch = Scratch::full();
    scratch.write_local("replication/drnode", "db3\n");
    assert_keeps_from(&scratch, 4, &[scratch.name(4)], 0);
    scratch.write_local("2warm.toml", "[archive]\nkeep = 1\n");
    assert_keeps_from(&scratch, 4, &[], 0);
}

#[test]
fn segments_that_the_dr_node_has_received_are_removed() {
    let scratch = Scratch::full();
    scratch.write_local("replication/drnode", "db3\n");
    assert_keeps_from(&scratch, 3, &[scratch.name(3)], 0);
    let advance = |name: &str, number: usize| {
        let archive = Archive::open(&scratch.archived("")).unwrap();
        let first = scratch.name(number).parse().unwrap();
        archive.advance_consumer(&name.parse().unwrap(), first).unwrap();
    };
    advance("db3", 2);
    assert_keeps_from(&scratch, 3, &[scratch.name(3)], 2);
    // It has received more than the standby has replayed.
    advance("db3", 5);
    assert_keeps_from(&scratch, 4, &[scratch.name(3)], 3);
    // Another one, which this node's configuration does not name.
    advance("db4", 4);
    assert_keeps_from(&scratch, 6, &[scratch.name(6)], 4);
    scratch.write_local("replication/drnode", "");
    assert_keeps_from(&scratch, 6, &[scratch.name(6)], 4);
    std::fs::write(scratch.archived(".consumers/db3"), "nonsense").unwrap();
    advance("db4", 6);
    assert_keeps_from(&scratch, 6, &[scratch.name(6)], 4);
    advance("db3", 6);
    assert_keeps_from(&scratch, 6, &[scratch.name(6)], 6);
}

#[test]
fn a_consumer_that_has_gone_keeps_a_limited_number_of_segments_with_an_error() {
    let scratch = Scratch::full();
    scratch.write_local("replication/drnode", "db3\n");
    scratch.write_local("2warm.toml", "[archive]\nmax_relay_backlog = 3\n");
    let lost = |number, restart, first| {
        let (ended, names) = restore(&scratch, number, &[scratch.name(restart)]);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(names[0], scratch.name(first));
        ended.said.contains("max_relay_backlog is 3")
    };
    assert!(!lost(3, 3, 0));
    // What the standby itself needs is not limited.
    assert!(!lost(4, 0, 0));
    assert!(lost(4, 4, 1), "the first segment that is lost");
    assert!(!lost(5, 5, 2), "and then one in 16");
    scratch.write_local("2warm.toml", "[archive]\nmax_relay_backlog = 1\n");
    let (ended, names) = restore(&scratch, 6, &[scratch.name(6)]);
    assert_eq!(names[0], scratch.name(5));
    assert!(ended.said.contains("max_relay_backlog is 1"), "several at once: {}", ended.said);
}

#[test]
fn nothing_is_removed_if_a_consumer_cannot_be_registered() {
    let scratch = Scratch::full();
    scratch.write_local("replication/drnode", "db3\n");
    std::fs::write(scratch.archived(".consumers"), "not a directory").unwrap();
    let (ended, names) = restore(&scratch, 4, &[scratch.name(4)]);
    assert!(ended.said.contains("could not prune the archive"), "{}", ended.said);
    assert_eq!(names.len(), cluster().segments.len());
}

#[test]
fn keeping_segments_for_the_dr_node_is_reported_now_and_then() {
    let scratch = Scratch::full();
    scratch.write_local("replication/drnode", "db3\n");
    let pid_file = |pid: u32| scratch.write("postmaster.pid", format!("{pid}\n/d\n1\n"));
    let said = |number| restore(&scratch, number, &[]).0.said.contains("db3 needs ");
    // Once for each start of the server.
    for server in [1, std::process::id()] {
        pid_file(server);
        assert!(said(0));
        assert!(!(1..6).any(said), "and then at one segment in 256");
    }
}

#[test]
fn only_segments_are_removed() {
    let scratch = Scratch::full();
    let (first, restart) = (scratch.name(0), scratch.name(4));
    let mut others = vec![
        "00000002.history".to_owned(),
        "README".to_owned(),
        "000000010000000000000001.corrupt".to_owned(),
        format!("{first}.partial"),
        format!("{first}.00000028.backup"),
        format!("{first}.gz"),
        format!(".{first}"),
        first[1..].to_owned(),
        "00000001000000000000000a".to_owned(),
    ];
    others.iter().for_each(|name| scratch.put(name, "x"));
    let (ended, names) = restore(&scratch, 4, &[restart]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    others.extend(cluster().segments[4..].iter().map(|(name, _)| name.clone()));
    others.sort();
    assert_eq!(names, others);
}

#[test]
fn nothing_is_removed_if_nothing_was_restored() {
    let scratch = Scratch::full();
    let all = scratch.archive();
    let restart = scratch.name(4);
    scratch.write("trigger", "fast");
    let (ended, names) = restore(&scratch, 5, &[restart]);
    assert_eq!((ended.code, names), (Some(1), all.clone()));
    std::fs::remove_file(scratch.data().join("trigger")).unwrap();
    let history = ["00000002.history", "pg_wal/RECOVERYHISTORY", restart];
    scratch.run_with(&history).exited(1);
    assert_eq!(scratch.archive(), all);
    let bad = [scratch.name(5), "no_such_directory/x", restart];
    scratch.run_with(&bad).exited(200);
    assert_eq!(scratch.archive(), all);
    scratch.put_old(scratch.name(5), scratch.bytes(2));
    let mut call = Call::start(scratch.command(scratch.name(5), &[restart]));
    call.waits_for("recycled");
    assert_eq!(scratch.archive(), all);
}
