//! Trigger files are obeyed at once and never read half-written, and signals end a wait at once, with and without
//! inotify.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Call, NAME, Scratch, segment};
use nix::sys::signal::Signal;

/// Far below the polling interval. An idle machine needs a few milliseconds.
const AT_ONCE: Duration = Duration::from_secs(45);

const WAIT: &[&str] = &["-s", "60", "-t", "trigger"];

fn shell(scratch: &Scratch, line: &str) {
    let done = Command::new("/bin/sh").arg("-c").arg(line).current_dir(scratch.path("")).status();
    assert!(done.expect("the scratch directory is writable").success(), "{line}");
}

/// A call without inotify, as on a machine that has run out of instances.
fn without_events(scratch: &Scratch, options: &[&str]) -> Command {
    scratch.tampered("inotify_init1", "error=EMFILE", &scratch.ask(options))
}

/// The shell creates the file empty and writes into it a moment later. All of 200 must be fast.
#[test]
fn echo_fast_is_always_fast() {
    for round in 0..20 {
        let scratches: Vec<_> = (0..10).map(|_| Scratch::new()).collect();
        let mut calls: Vec<_> = scratches.iter().map(|scratch| scratch.start(WAIT)).collect();
        for call in &mut calls {
            call.watches();
        }
        scratches.iter().for_each(|scratch| shell(scratch, "echo fast > trigger"));
        for call in calls {
            let said = call.exits(1);
            assert!(said.contains("fast failover"), "round {round}: {said}");
        }
        for scratch in scratches {
            assert_eq!(fs::read(scratch.path("trigger")).unwrap(), b"");
        }
    }
}

/// The trigger file was written just before the call started.
#[test]
fn echo_fast_just_before_the_call_is_fast() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        shell(&scratch, "echo fast > trigger");
        assert!(scratch.start(WAIT).exits(1).contains("fast failover"));
    }
}

#[test]
fn a_trigger_written_a_while_after_it_was_created_is_fast() {
    let scratch = Scratch::new();
    let mut call = scratch.start(WAIT);
    call.watches();
    let mut trigger = File::create(scratch.path("trigger")).unwrap();
    call.says("found; it is empty");
    // An empty trigger file of this age is obeyed, unless it is still open for writing.
    trigger.set_modified(SystemTime::now() - Duration::from_secs(1)).unwrap();
    call.looks_again(5);
    assert!(!call.has_ended());
    trigger.write_all(b"fast\n").unwrap();
    let written = Instant::now();
    drop(trigger);
    assert!(call.exits(1).contains("fast failover"));
    assert!(written.elapsed() < AT_ONCE);
}

#[test]
fn each_kind_is_obeyed_at_once() {
    for (content, left, says) in
        [("", "", "smart failover"), ("smart\n", "smart\n", "smart failover"), ("fast", "", "fast")]
    {
        let scratch = Scratch::new();
        let mut call = scratch.start(WAIT);
        call.watches();
        let triggered = Instant::now();
        scratch.put("trigger", content);
        assert!(call.exits(1).contains(says));
        assert!(triggered.elapsed() < AT_ONCE, "{content:?}");
        assert_eq!(fs::read_to_string(scratch.path("trigger")).unwrap(), left);
    }
}

/// The oldest dialect also deletes the trigger file.
#[test]
fn the_oldest_dialect_obeys_at_once() {
    let scratch = Scratch::new();
    fs::write(scratch.path("PG_VERSION"), "8.3\n").unwrap();
    let mut call = scratch.start(WAIT);
    call.watches();
    let triggered = Instant::now();
    shell(&scratch, "echo whatever > trigger");
    call.exits(1);
    assert!(triggered.elapsed() < AT_ONCE);
    assert!(!scratch.path("trigger").exists());
}

/// Servers from 15 on request a refused segment again.
#[test]
fn a_fast_trigger_stays_fast_for_servers_that_ask_twice() {
    let scratch = Scratch::full();
    fs::write(scratch.path("PG_VERSION"), "15\n").unwrap();
    scratch.put("trigger", "fast");
    for _ in 0..3 {
        assert!(scratch.start(WAIT).exits(1).contains("fast failover"));
        let left = fs::read_to_string(scratch.path("trigger")).unwrap();
        assert_eq!(left, format!("fast {NAME}\n"));
    }
    scratch.assert_nothing_restored();
    // An earlier segment, which was restored before, is restored again.
    scratch.put("archive/000000010000000C00000098", segment());
    let before =
        scratch.command(["-t", "trigger", "archive", "000000010000000C00000098", "pg_wal/X"]);
    Call::start(before).exits(0);
}

/// The file that pg_ctl promote creates in the data directory.
#[test]
fn promote_is_obeyed_at_once() {
    let scratch = Scratch::new();
    let mut call = scratch.start(&["-s", "60"]);
    call.watches();
    let promoted = Instant::now();
    fs::write(scratch.path("promote"), "").unwrap();
    assert!(call.exits(1).contains("promotion"));
    assert!(promoted.elapsed() < AT_ONCE);
}

#[test]
fn without_events_polling_finds_the_segment_and_the_trigger() {
    let scratch = Scratch::new();
    let mut call = Call::start(without_events(&scratch, &["-d", "-s", "1", "-t", "trigger"]));
    call.says("polling only").says("not present yet");
    scratch.put(&format!("archive/{NAME}"), segment());
    scratch.assert_restores(call);

    let scratch = Scratch::new();
    let mut call = Call::start(without_events(&scratch, &["-d", "-s", "1", "-t", "trigger"]));
    call.says("polling only").says("not present yet");
    shell(&scratch, "echo fast > trigger");
    assert!(call.exits(1).contains("fast failover"));
}

#[test]
fn without_events_a_signal_ends_the_wait_at_once() {
    for signal in [Signal::SIGUSR1, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        let scratch = Scratch::new();
        let mut call = Call::start(without_events(&scratch, &["-d", "-s", "60"]));
        call.says("polling only").says("not present yet");
        let sent = Instant::now();
        call.signal_worker(signal);
        let ended = call.end();
        let expected = match signal {
            Signal::SIGTERM => (None, Some(Signal::SIGTERM as i32)),
            Signal::SIGQUIT => (None, Some(Signal::SIGINT as i32)),
            _ => (Some(1), None),
        };
        assert_eq!((ended.code, ended.signal), expected, "{signal}: {}", ended.said);
        assert!(sent.elapsed() < AT_ONCE, "{signal}");
    }
}

#[test]
fn with_events_a_signal_ends_the_wait_at_once() {
    for (signal, code) in [(Signal::SIGUSR1, Some(1)), (Signal::SIGTERM, None)] {
        let scratch = Scratch::new();
        let mut call = scratch.start(&["-s", "60"]);
        call.watches();
        let sent = Instant::now();
        call.signal(signal);
        assert_eq!(call.end().code, code);
        assert!(sent.elapsed() < AT_ONCE, "{signal}");
    }
}
