//! A switchover that is broken off. Each time at most one node lets clients commit, no acknowledged row is lost, and what the
//! command prints last, or the manual's table after `kill -9`, leads to a primary with a standby.
//!
//! Not broken off separately, because nothing changes in between: before "db2 can be reached"; at "Terminated" (as at
//! "New sessions are rejected"); at "The server was shut down" (as at "The shutdown checkpoint is at"); at "The WAL of
//! this node ends" and "Fetched" (as at "is the primary").

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::{LIMIT, Node, wait_until};

use crate::load::Load;
use crate::running::Running;
use crate::site::{Site, fails, log, run};

const REACHED: &str = "can be reached";
const REJECTED: &str = "New sessions are rejected";
const ARCHIVED: &str = "All WAL is archived";
const STOPPING: &str = "Waiting for the server to shut down";
const END: &str = "The shutdown checkpoint is at";
const HELD: &str = "holds all WAL up to the end";
const PROMOTING: &str = "Running triggerStandby on";
const TRIGGERED: &str = "was triggered";
const OPEN: &str = "The server is open";
const PROMOTED: &str = " is the primary\n";
const FORKED: &str = "this node can follow it";
const REJOINED: &str = "This node is a standby";

/// A pair with a client that writes all the time.
struct Broken {
    site: Site,
    load: Load,
}

impl Broken {
    fn new() -> Broken {
        let site = Site::new("standby");
        let load = Load::start(&[&site.db1, &site.db2]);
        Broken { site, load }
    }

    /// Starts a switchover and waits until it says this; returns it with the old primary and its standby.
    fn begin(&self, step: &str) -> (Running, &Node, &Node) {
        self.load.goes_on();
        let (from, to) = self.site.roles();
        let mut switchover = Running::start(from, "switchover", &["--wait", "0"]);
        assert!(switchover.says(&[step.trim_end()]), "{step}: {:?}", switchover.end());
        (switchover, from, to)
    }

    fn one_primary_at_most(&self, what: &str) {
        let open = self.site.open();
        assert!(open.len() < 2, "{what}: clients can commit on {open:?}\n{}", self.site.logs());
    }

    /// The servers that are stopped are started, and the pair is as before. A server may have been told to stop just before
    /// the command was killed.
    fn recovers(&self, what: &str) {
        let count = self.load.acknowledged().len();
        let goes_on = || {
            for node in [&self.site.db1, &self.site.db2] {
                if node.pid().is_none() {
                    node.start_warm().unwrap_or_else(|error| panic!("{what}: {error}"));
                }
            }
            self.load.acknowledged().len() > count
        };
        wait_until("a primary that is open", LIMIT, goes_on)
            .unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.site.logs()));
        self.site.is_healthy(&self.load);
    }

    /// What the last message of a switchover says.
    fn do_next(&self, what: &str, said: &str, from: &Node, to: &Node) {
        let last = said.lines().last().unwrap_or_default();
        println!("{what}: {last}");
        if last.contains("still the primary") {
            assert_eq!(last.contains("start its server"), from.pid().is_none(), "{what}: {said}");
        } else if last.contains("run switchover again, which continues") {
            let said = run(from, "switchover", &["--wait", "0"]);
            assert!(said.contains("this node is its standby"), "{what}: {said}");
        } else if last.contains("run triggerStandby on") {
            promote(to);
            rejoin(from);
        } else if last.contains("run configStandby --rejoin on this node, and start its server") {
            assert!(last.contains("is the primary now"), "{what}: {said}");
            rejoin(from);
        } else if last.contains("interrupted: the server is stopped") {
            assert!(last.contains("configStandby --rejoin"), "{what}: {said}");
            assert!(!to.is_in_recovery().unwrap(), "{what}: {said}");
            rejoin(from);
        } else if last.contains("sessions are let in again") {
            assert!(from.pid().is_some(), "{what}: {said}");
        } else {
            assert!(last.contains("this node is its standby"), "{what}: {said}");
        }
    }
}

/// Runs triggerStandby on a standby whose promotion may have begun, or whose server is stopped.
fn promote(node: &Node) {
    let trigger = node.command("triggerStandby").output().unwrap();
    let said = String::from_utf8([trigger.stdout, trigger.stderr].concat()).unwrap();
    let is_done = trigger.status.success() || said.contains("may have been promoted already");
    assert!(is_done, "{said}\n{}", log(node));
    if said.contains("HINT: start it") {
        node.start_warm().unwrap();
        node.wait_for_promotion().unwrap();
        // As its note says.
        fs::remove_file(node.pgdata().join("trigger")).unwrap();
    }
    node.wait_for_promotion().unwrap();
}

/// Until the history of the new timeline has arrived, the command says that it is to be run again.
fn rejoin(node: &Node) {
    let rejoins = || {
        let rejoin = node.command("configStandby").arg("--rejoin").output().unwrap();
        let said = String::from_utf8_lossy(&rejoin.stderr).into_owned();
        let is_to_be_repeated = said.contains("run this command again");
        let is_done = rejoin.status.success() || said.contains("holds a standby already");
        assert!(is_done || is_to_be_repeated, "{said}\n{}", log(node));
        is_done
    };
    wait_until("the old primary to rejoin", LIMIT, rejoins).unwrap();
    node.start_warm().unwrap();
}

/// Kills the postmaster and its children; returns whether it was running.
fn crash(node: &Node) -> bool {
    let Some(pid) = node.pid() else { return false };
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    let is_gone = || {
        let children = node.processes().filter(|process| process.command.starts_with("postgres:"));
        let count = children.inspect(|process| process.kill()).count();
        count == 0 && node.pid().is_none()
    };
    wait_until("the server to end", LIMIT, is_gone).unwrap();
    // Until process 1 reaps it, the next server takes it for a running one.
    let lock = format!(".s.PGSQL.{}.lock", node.port());
    for file in [node.pgdata().join("postmaster.pid"), node.socket_dir().join(lock)] {
        fs::remove_file(file).unwrap();
    }
    true
}

/// By the manual's table: the same command continues, or --undo ends the switchover, or the standby was promoted and the old
/// primary rejoins.
#[test]
fn the_command_is_killed() {
    let broken = Broken::new();
    for (step, is_continued) in [
        (REACHED, true),
        (REJECTED, false),
        (ARCHIVED, true),
        (STOPPING, false),
        (END, true),
        (HELD, false),
        (PROMOTING, false),
        (TRIGGERED, false),
        (PROMOTED, true),
        (FORKED, false),
        (REJOINED, false),
    ] {
        let (switchover, from, to) = broken.begin(step);
        switchover.signal(Signal::SIGKILL);
        switchover.end();
        broken.one_primary_at_most(step);
        let mut again = from.command("switchover");
        let is_done =
            is_continued && again.args(["--wait", "0"]).output().unwrap().status.success();
        assert!(!is_done || step != PROMOTED, "its standby was promoted");
        if !is_done {
            undo_or_rejoin(step, from, to);
        }
        broken.recovers(step);
    }
}

fn undo_or_rejoin(step: &str, from: &Node, to: &Node) {
    let undo = from.command("flushPrimary").arg("--undo").output().unwrap();
    println!("{step}: {}", String::from_utf8_lossy(&undo.stderr));
    if undo.status.success() {
        // The receipt is void.
        let said = fails(to, "triggerStandby", &["--require-receipt"]);
        assert!(to.is_in_recovery().unwrap(), "{step}: {said}");
        return;
    }
    promote(to);
    // Also if it had rejoined already.
    rejoin(from);
}

#[test]
fn the_old_primary_is_killed() {
    let broken = Broken::new();
    for step in [REACHED, REJECTED, ARCHIVED, STOPPING] {
        let (switchover, from, to) = broken.begin(step);
        crash(from);
        let (_, said) = switchover.end();
        broken.one_primary_at_most(step);
        broken.do_next(step, &said, from, to);
        broken.recovers(step);
    }
}

#[test]
fn the_standby_is_killed() {
    let broken = Broken::new();
    for step in [REJECTED, PROMOTING, TRIGGERED, OPEN, FORKED] {
        let (switchover, from, to) = broken.begin(step);
        assert!(crash(to), "{}", log(to));
        let (_, said) = switchover.end();
        broken.one_primary_at_most(step);
        broken.do_next(step, &said, from, to);
        broken.recovers(step);
    }
}

#[test]
fn the_network_is_cut() {
    let broken = Broken::new();
    for step in [ARCHIVED, END, PROMOTING, TRIGGERED, OPEN, FORKED] {
        let (mut switchover, from, to) = broken.begin(step);
        broken.site.cut_network(true);
        if step == OPEN {
            // It would wait a minute for the history of the new timeline.
            assert!(switchover.says(&["The WAL of this node ends"]));
            switchover.signal(Signal::SIGTERM);
        }
        let (_, said) = switchover.end();
        broken.one_primary_at_most(step);
        broken.site.cut_network(false);
        broken.do_next(step, &said, from, to);
        broken.recovers(step);
    }
}

/// A network that is cut before the server is stopped delays the switchover, which can be interrupted.
#[test]
fn the_network_is_cut_while_wal_is_archived() {
    let broken = Broken::new();
    for is_repaired in [true, false] {
        let (mut switchover, from, to) = broken.begin(REACHED);
        broken.site.cut_network(true);
        // The first of these unless everything was archived at that moment.
        let waits = switchover.says(&["to be archived", "Failed", "ERROR"]);
        if waits && is_repaired {
            broken.site.cut_network(false);
        } else if waits {
            switchover.signal(Signal::SIGTERM);
        }
        let (_, said) = switchover.end();
        broken.one_primary_at_most(REACHED);
        broken.site.cut_network(false);
        broken.do_next(REACHED, &said, from, to);
        broken.recovers(REACHED);
    }
}
