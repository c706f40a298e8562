//! The process that ships ahead, killed at any moment: no call succeeds whose file is not in the archive.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use twowarm_core::testbed::wait_until;

use super::backlog::{Waiting, with_running_server, without_server};
use crate::pair::LIMIT;

/// How many different moments are tried.
const MOMENTS: usize = 40;

/// Starts the process under strace with this `-e` option, as a call does. With `-D` strace is not its parent.
fn start(waiting: &Waiting, option: &str) -> (Child, UnixStream) {
    let (stream, theirs) = UnixStream::pair().unwrap();
    let name = &waiting.names[0];
    let mut strace = waiting.pair.db1.program("strace");
    strace.current_dir(waiting.pair.db1.pgdata()).args(["-D", "-f", "-qq", "-e", option, "-o"]);
    strace.arg(waiting.pair.db1.home().join("trace"));
    strace.args(["../2warm/global/replication/archiveWALFile", &format!("pg_wal/{name}"), name]);
    strace.env("TWOWARM_LOOK_AHEAD_OF", std::process::id().to_string());
    strace.env("TWOWARM_LOOK_AHEAD_TO", "db2").stdin(OwnedFd::from(theirs));
    let mut process = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the process to serve or to end", LIMIT, || {
        waiting.socket().exists() || process.try_wait().unwrap().is_some()
    })
    .unwrap();
    (process, stream)
}

/// Archives the first files by calls, which must succeed, and makes them wait again.
fn archive_three(waiting: &Waiting) {
    for name in &waiting.names[..3] {
        waiting.archive(name);
    }
    for name in &waiting.names {
        let _ = fs::remove_file(waiting.pair.archived(name));
        let _ = fs::rename(waiting.status(name, "done"), waiting.status(name, "ready"));
    }
}

/// The system calls of the process, with their numbers among those of one thread and name.
fn moments(waiting: &Waiting) -> Vec<(String, usize)> {
    let (mut process, _stream) = start(waiting, "trace=all");
    archive_three(waiting);
    wait_until("the process to end", LIMIT, || process.try_wait().unwrap().is_some()).unwrap();
    let log = fs::read_to_string(waiting.pair.db1.home().join("trace")).unwrap();
    let mut turns = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let Some(thread) = words.next() else { continue };
        let Some((name, _)) = words.next().and_then(|call| call.split_once('(')) else { continue };
        if !name.starts_with(['+', '-', '<']) {
            *turns.entry((thread.to_owned(), name.to_owned())).or_insert(0_usize) += 1;
        }
    }
    let mut moments: Vec<(String, usize)> = turns
        .into_iter()
        .filter(|((_, name), _)| name != "execve" && name != "exit_group")
        .flat_map(|((_, name), last)| (1..=last).map(move |turn| (name.clone(), turn)))
        .collect();
    moments.sort();
    moments.dedup();
    moments
}

#[test]
fn killed_at_a_system_call() {
    let waiting = without_server(6);
    let all = moments(&waiting);
    let mut killed = 0;
    for (call, turn) in all.iter().step_by(all.len().div_ceil(MOMENTS)) {
        let option = format!("inject={call}:signal=KILL:when={turn}");
        let (mut process, stream) = start(&waiting, &option);
        archive_three(&waiting);
        drop(stream);
        wait_until("the process to end", LIMIT, || process.try_wait().unwrap().is_some()).unwrap();
        killed += usize::from(!process.wait().unwrap().success());
        // Those that calls have started in its place must not answer the next round.
        wait_until("the others to end", LIMIT, || waiting.processes().is_empty()).unwrap();
    }
    println!("{} system calls; killed {killed} times", all.len());
    assert!(killed > MOMENTS / 2, "{killed}");
}

#[test]
fn killed_again_and_again_while_a_server_archives() {
    let waiting = with_running_server(40);
    waiting.go();
    let mut killed = 0;
    wait_until("all to be archived", Duration::from_secs(120), || {
        for process in waiting.processes() {
            process.kill();
            killed += 1;
        }
        let done = |name: &String| waiting.status(name, "done").exists();
        waiting.names.iter().all(done)
    })
    .unwrap();
    println!("killed {killed} processes");
    for name in &waiting.names {
        waiting.is_stored(name);
    }
    assert!(killed > 3);
}

/// As after a server's crash, when a call of the old one is still running.
#[test]
fn two_calls_at_once() {
    let waiting = without_server(8);
    for names in waiting.names.chunks(2) {
        let calls = [&names[0], &names[0], &names[1]].map(|name| {
            let call = waiting.call(name).spawn().unwrap();
            (name, call)
        });
        for (at, (name, call)) in calls.into_iter().enumerate() {
            let output = call.wait_with_output().unwrap();
            match at {
                0 => assert!(output.status.success(), "{output:?}"),
                _ => waiting.is_archived(name, &output),
            }
        }
    }
    waiting.ended();
}
