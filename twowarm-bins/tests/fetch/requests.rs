//! What one call asks for, and when.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use twowarm_core::testbed::{LIMIT, wait_until};

use crate::nodes::{Pair, name};

const HISTORY: &str = "1\t0/20000000\tno recovery target specified\n";

#[test]
fn a_missing_segment_before_a_later_one_is_fetched_at_once_with_those_after_it() {
    for pair in [Pair::standby(), Pair::warm()] {
        (0..12).for_each(|number| pair.put(&pair.db3, number));
        pair.put(&pair.db2, 11);
        let said = pair.restores(1);
        assert!(said.contains(&format!("fetching {} from db3", name(1))), "{said}");
        // Eight more, and nothing before it.
        (2..=9).for_each(|number| pair.arrives(number));
        pair.settles();
        assert_eq!(pair.arrived().len(), 10);
        // The next one is asked for without a wait, because more may be there.
        pair.restores(10);
        assert!(
            !pair.db2.archive().join(".owner").exists(),
            "fetching binds the archive to nobody"
        );
    }
}

#[test]
fn without_a_gap_it_is_fetched_when_it_has_not_arrived_for_a_while() {
    let pair = Pair::standby();
    pair.put(&pair.db3, 3);
    let begun = Instant::now();
    pair.restores(3);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// The questions of a standby that waits get rarer, also from call to call.
#[test]
fn a_file_that_is_nowhere_is_asked_for_at_growing_intervals() {
    let pair = Pair::standby();
    pair.db2.append_settings("[restore]\nwait_limit = 1").unwrap();
    while pair.connections() < 2 {
        let said = pair.start_for(1).exits(1);
        assert!(said.contains("has not arrived yet"), "{said}");
    }
    // The segment, when it is asked for again, and the interval after that, in milliseconds.
    let known = fs::read_to_string(pair.db2.pgdata().join(".twowarm_fetching")).unwrap();
    let line = known.lines().find(|line| line.contains(name(1))).unwrap();
    let interval: u64 = line.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(interval >= 12_000, "it has doubled at each question: {known}");
    // It arrives there, and a later one here.
    pair.put(&pair.db3, 1);
    pair.put(&pair.db2, 2);
    wait_until("the segment", LIMIT, || pair.start_for(1).end().code == Some(0)).unwrap();
    pair.arrives(1);
}

#[test]
fn a_segment_that_arrives_by_itself_is_not_fetched() {
    let pair = Pair::standby();
    pair.put(&pair.db3, 1);
    let mut call = pair.start_for(1);
    call.waits_for("it has not arrived");
    pair.put(&pair.db2, 1);
    let said = call.exits(0);
    assert!(!said.contains("fetching 0"), "{said}");
    assert_eq!(pair.connections(), 0);
}

#[test]
fn a_history_file_is_fetched_when_the_server_requests_it() {
    for pair in [Pair::standby(), Pair::warm()] {
        pair.put_as(&pair.db3, "00000002.history", HISTORY);
        pair.start("00000002.history").exits(0);
        assert_eq!(
            fs::read_to_string(pair.db2.archive().join("00000002.history")).unwrap(),
            HISTORY
        );
        // One that is nowhere is absent, and is not asked for again at once.
        for _ in 0..3 {
            pair.start("00000003.history").exits(1);
        }
    }
}

/// The new timeline is known only to the DR node: the waiting call fetches its history, and the server follows.
#[test]
fn a_new_timeline_is_found_while_a_segment_is_waited_for() {
    let pair = Pair::standby();
    let number = u64::from_str_radix(&name(1)[16..], 16).unwrap();
    let fork = number * (1 << 20) + 0x80000;
    let history = format!("1\t0/{fork:X}\tno recovery target specified\n");
    pair.put_as(&pair.db3, "00000002.history", history);
    let said = pair.start_for(1).exits(1);
    assert!(pair.db2.archive().join("00000002.history").exists(), "{said}");
}

#[test]
fn two_calls_at_once_fetch_once() {
    let pair = Pair::warm();
    (1..10).for_each(|number| pair.put(&pair.db3, number));
    pair.put(&pair.db2, 11);
    let calls = [pair.start_for(1), pair.start_for(1), pair.start_for(2)];
    let said = calls.map(|call| call.exits(0)).concat();
    pair.settles();
    let fetched = |number| said.matches(&format!("fetching {}", name(number))).count();
    assert_eq!(fetched(1), 1, "{said}");
    // With the first segment, unless its own call was the first of the three to ask.
    assert!(fetched(2) <= 1, "{said}");
}

#[test]
fn a_killed_call_leaves_whole_files_or_none() {
    let pair = Pair::warm();
    (1..10).for_each(|number| pair.put(&pair.db3, number));
    pair.put(&pair.db2, 11);
    for delay in [0, 100, 200, 250, 300, 350, 400, 500] {
        let call = pair.start_for(1);
        let begun = Instant::now();
        let _ = wait_until("the moment to kill", LIMIT, || {
            begun.elapsed() >= Duration::from_millis(delay)
        });
        drop(call);
        for process in pair.db2.processes().filter(|p| p.command.contains("restoreWALFile")) {
            process.signal(Signal::SIGKILL);
        }
        for arrived in pair.arrived() {
            let number = (0..12).find(|&number| name(number) == arrived).unwrap();
            pair.arrives(number);
        }
        let _ = fs::remove_file(pair.db2.archive().join(name(1)));
    }
    pair.restores(1);
    pair.settles();
}

/// The exit code of the process that asks the archives, which is left behind when it has given this answer.
fn exit_code_after(pair: &Pair, file: &str, answer: &str) -> Option<i32> {
    let mut command = pair.db2.command("restoreWALFile");
    let (ours, theirs) = UnixStream::pair().unwrap();
    command.args([file, "pg_wal/RECOVERYXLOG"]).stdin(OwnedFd::from(theirs));
    command.env("TWOWARM_ARCHIVE_PROCESS_OF", std::process::id().to_string());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    let lines: Vec<String> = BufReader::new(ours).lines().map(Result::unwrap).collect();
    assert!(lines.iter().any(|line| line == answer), "{lines:?}");
    child.wait().unwrap().code()
}

/// A server that is the first process of a container inherits it, and takes each exit code but 0 and 1, and each
/// signal, for a crash of a process of its own.
#[test]
fn a_process_that_is_left_behind_does_not_look_like_a_crash() {
    let mut pair = Pair::warm();
    pair.db2.prepend_settings("time_limit = 4").unwrap();
    pair.put(&pair.db2, 1);
    assert_eq!(exit_code_after(&pair, name(1), "restored"), Some(0));
    pair.db3.sshd().freeze();
    assert_eq!(exit_code_after(&pair, "00000002.history", "gave-up not-there"), Some(0));
    pair.db3.sshd().thaw();
}
