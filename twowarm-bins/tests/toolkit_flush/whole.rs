//! The command switchover.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::testbed::{LIMIT, Node, StopMode, finish, wait_until};

use crate::pair::{Pair, Running, rows};

/// Lets commands on a node start its server, as start_command does at a site.
pub fn start_command(node: &Node) {
    let pg_ctl = node.install().program("pg_ctl");
    let arguments = node.install().major().unwrap().pg_ctl_start().join("\", \"");
    let line = format!(
        "[server]\nstart_command = [\"{}\", \"{arguments}\", \"-D\", \"{}\", \"-l\", \"{}\"]\n",
        pg_ctl.display(),
        node.pgdata().display(),
        node.home().join("server.log").display()
    );
    let settings = std::fs::read_to_string(node.local().join("2warm.toml")).unwrap();
    assert!(settings.contains("[server]\n"), "{settings}");
    node.write_local("2warm.toml", settings.replace("[server]\n", &line)).unwrap();
}

#[test]
fn a_dry_run_changes_nothing() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    let said = pair.on_db1("switchover", &["--dry-run"]);
    assert!(said.contains("db2 can be reached\ntriggerStandby can be run on db2\n"), "{said}");
    assert!(
        said.contains("Nothing was changed") && said.contains("you start its server"),
        "{said}"
    );
    pair.is_as_before();
    pair.flows(10);
}

/// Clients that reconnect to either node insert all the time; each acknowledged row is found in the end.
fn over_and_back(mode: &str, times: u32) -> Option<Vec<Duration>> {
    let pair = Pair::new(mode);
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    for node in [&pair.db1, &pair.db2] {
        start_command(node);
    }
    if !pair.can_rejoin() {
        return None;
    }
    let before = rows(&pair.db1).unwrap();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut longest = Vec::new();
    let places = [&pair.db1, &pair.db2].map(|node| (node.socket_dir(), node.port()));
    let user = pair.db1.run_as().user().to_owned();
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut last = Instant::now();
            let mut pauses = Vec::new();
            'connect: while !stop.load(Ordering::SeqCst) {
                for (socket, port) in &places {
                    let mut config = postgres::Config::new();
                    config.host_path(socket).port(*port).user(&user).dbname("postgres");
                    let Ok(mut session) = config.connect(postgres::NoTls) else { continue };
                    while session.simple_query("insert into t values (1)").is_ok() {
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                        if last.elapsed() > Duration::from_millis(100) {
                            pauses.push(last.elapsed());
                        }
                        last = Instant::now();
                        if stop.load(Ordering::SeqCst) {
                            break 'connect;
                        }
                    }
                }
                thread::yield_now();
            }
            pauses
        });
        for time in 0..times {
            let (from, to) =
                if time % 2 == 0 { (&pair.db1, &pair.db2) } else { (&pair.db2, &pair.db1) };
            let mut command = from.command("switchover");
            let output = command.args(["--wait", "0"]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() {
                stop.store(true, Ordering::SeqCst);
                panic!("{mode} {time}: {said}{errors}\n{}", pair.logs());
            }
            assert!(!to.is_in_recovery().unwrap(), "{said}");
            assert_eq!(to.timeline().unwrap(), time + 2);
            let seen = acknowledged.load(Ordering::SeqCst);
            wait_until("the client to write again", LIMIT, || {
                acknowledged.load(Ordering::SeqCst) > seen
            })
            .unwrap();
            let known = rows(to).unwrap();
            let last = to.switch_wal().unwrap();
            let follows = if from.install().major().unwrap().has_hot_standby() {
                wait_until("the old primary to follow", LIMIT, || {
                    from.is_in_recovery().is_ok_and(|is| is)
                        && rows(from).is_some_and(|n| n >= known)
                })
            } else {
                from.wait_until_restored(&last)
            };
            follows.unwrap_or_else(|error| {
                stop.store(true, Ordering::SeqCst);
                panic!("{mode} {time}: {error}\n{said}\n{}", pair.logs())
            });
        }
        stop.store(true, Ordering::SeqCst);
        longest = client.join().unwrap();
    });
    let last = if times.is_multiple_of(2) { &pair.db1 } else { &pair.db2 };
    let (found, written) = (rows(last).unwrap(), before + acknowledged.load(Ordering::SeqCst));
    // A commit may be made without its acknowledgment whenever the session is terminated.
    assert!((written..=written + u64::from(times)).contains(&found), "{found} of {written}");
    for node in [&pair.db1, &pair.db2] {
        node.stop(StopMode::Fast).unwrap();
    }
    Some(longest)
}

#[test]
fn over_and_back_without_a_copy() {
    if let Some(pauses) = over_and_back("standby", 4) {
        println!("writes stood still: {pauses:?}");
        assert!(!pauses.is_empty());
    }
}

#[test]
fn over_and_back_in_warm_mode() {
    over_and_back("warm", 2);
}

#[test]
fn a_standby_that_is_not_running_is_noticed_first() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    pair.db2.stop(StopMode::Fast).unwrap();
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("is not running") && said.contains("Nothing was changed"), "{said}");
    pair.db2.start_warm().unwrap();
    pair.flows(10);
    pair.is_as_before();
}

/// A triggerStandby that ends in this way when it is to promote.
fn replace_trigger(pair: &Pair, end: &str) {
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --check ]; then echo 'The standby in x is running'; exit; fi\n{end}\n"
    );
    let place = pair.db2.global().join("replication/triggerStandby");
    let aside = place.with_extension("new");
    let mut write = std::process::Command::new("sh");
    write.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\" && mv \"$0\" \"$2\""]);
    finish(write.arg(&aside).arg(text).arg(&place)).unwrap();
}

#[test]
fn a_standby_that_refuses_leaves_the_old_primary() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    start_command(&pair.db1);
    replace_trigger(&pair, "echo 'triggerStandby: ERROR: not now' >&2; exit 1");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("triggerStandby on db2: not now"), "{said}");
    assert!(said.ends_with("This node is still the primary"), "{said}");
    pair.is_as_before();
    // Before 9.1 pg_ctl does not wait.
    wait_until("db1 to be up", LIMIT, || pair.db1.client().is_ok()).unwrap();
    pair.flows(10);
    pair.db1.stop(StopMode::Fast).unwrap();
}

/// The standby may have been promoted, or may be a moment later.
#[test]
fn a_promotion_whose_end_is_not_known_starts_no_primary() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    start_command(&pair.db1);
    replace_trigger(&pair, "kill -9 $$");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("run triggerStandby on db2"), "{said}");
    assert!(pair.db1.pid().is_none() && pair.receipt().is_some());
}

/// Killed at a step, the switchover is completed by the single commands, or undone.
#[test]
fn a_switchover_that_was_killed_leaves_one_primary() {
    for (step, promoted) in [
        ("New sessions are rejected", false),
        ("The shutdown checkpoint is at", false),
        ("db2 is the primary", true),
    ] {
        let pair = Pair::new("standby");
        if !pair.can_rejoin() {
            return;
        }
        let mut command = pair.db1.command("switchover");
        command.args(["--wait", "0"]);
        let mut switchover = Running::start(command);
        switchover.prints(step);
        switchover.kill();
        if promoted {
            assert!(!pair.db2.is_in_recovery().unwrap());
            assert!(pair.fails("flushPrimary", &["--undo"]).contains("must not be started"));
        } else {
            pair.on_db1("flushPrimary", &["--undo"]);
            pair.is_as_before();
            if pair.db1.pid().is_none() {
                pair.db1.start().unwrap();
            }
            pair.flows(10);
        }
    }
}
