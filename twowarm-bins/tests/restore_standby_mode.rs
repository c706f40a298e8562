//! restoreWALFile under a server in standby mode, which takes "not there" for "not yet"; and what a
//! running standby of either mode must live through.

mod restore_support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use restore_support::{Call, LIMIT, Scratch, cluster};
use twowarm_core::testbed::{Testbed, wait_until};
use twowarm_core::version::PgMajor;

fn has_signal() -> bool {
    cluster().version.parse::<PgMajor>().expect("a real server's").has_recovery_signal()
}

/// As configStandby leaves it.
fn standby() -> Scratch {
    let scratch = Scratch::new();
    if has_signal() {
        scratch.write("standby.signal", "");
    } else {
        let lines = "standby_mode = 'on'\nrecovery_target_timeline = 'latest'\n";
        scratch.write("recovery.conf", lines);
    }
    scratch
}

/// A process that stands for the postmaster; a request to promote ends it, since it has no handler.
struct Postmaster(Child);

impl Postmaster {
    fn of(scratch: &Scratch) -> Postmaster {
        let child = Command::new("sleep").arg("600").spawn().expect("there is a sleep");
        scratch.write("postmaster.pid", format!("{}\n/d\n1\n", child.id()));
        Postmaster(child)
    }

    /// One that writes each request to promote into the file `asked`.
    fn that_writes_down_requests(scratch: &Scratch) -> Postmaster {
        let script = "trap 'echo asked >> asked' USR1; while :; do sleep 0.05; done";
        let mut shell = Command::new("/bin/sh");
        let child = shell.args(["-c", script]).current_dir(scratch.data()).spawn();
        let child = child.expect("there is a shell");
        let status = format!("/proc/{}/status", child.id());
        wait_until("the trap", LIMIT, || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask & (1 << 9) != 0)
        })
        .expect("a shell sets its trap");
        scratch.write("postmaster.pid", format!("{}\n/d\n1\n", child.id()));
        Postmaster(child)
    }

    fn was_asked_to_promote(&mut self) -> bool {
        let ended = self.0.try_wait().expect("a child of ours");
        ended
            .is_some_and(|status| status.signal() == Some(nix::sys::signal::Signal::SIGUSR1 as i32))
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_has_not_arrived_is_not_yet_there_after_the_limit() {
    let scratch = standby();
    scratch.write_local("2warm.toml", "[restore]\nwait_limit = 1\n");
    let begun = Instant::now();
    let said = scratch.assert_absent(scratch.name(1));
    assert!(
        begun.elapsed() >= Duration::from_secs(1) && said.contains("not arrived yet"),
        "{said}"
    );
    scratch.ship(1);
    scratch.assert_restores(1);
    // What is damaged is not handed over, and said.
    let mut damaged = scratch.bytes(2).to_vec();
    damaged[60] ^= 4;
    scratch.put_old(scratch.name(2), damaged);
    let said = scratch.assert_absent(scratch.name(2));
    assert!(said.contains("WARNING: still waiting"), "{said}");
    scratch.put_old(scratch.name(2), scratch.bytes(1));
    let said = scratch.assert_absent(scratch.name(2));
    assert!(said.contains("is not 0000"), "{said}");
}

#[test]
fn an_arrival_ends_the_wait() {
    let scratch = standby();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    scratch.ship(1);
    assert_eq!(call.end().code, Some(0));
}

#[test]
fn a_timeline_that_can_be_followed_is_left_to_the_server_at_once() {
    let scratch = standby();
    let here = u64::from_str_radix(&scratch.name(1)[16..], 16).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    scratch.put("00000002.history", scratch.left(1, here));
    let ended = call.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    // It asks for the new timeline's segment then, and waits for that.
    let mut call = scratch.start(&format!("00000002{}", &scratch.name(1)[8..]));
    call.waits_for("it has not arrived");
    drop(call);
    // A standby that is past the fork can't follow, and asking again and again would not help.
    scratch.put("00000002.history", scratch.left(1, here - 1));
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("needs a new base copy");
}

#[test]
fn where_the_server_streams_nothing_is_waited_for() {
    let scratch = standby();
    let set = "primary_conninfo = 'host=db1'\n";
    if has_signal() {
        scratch.write("postgresql.auto.conf", set);
    } else {
        scratch.write("recovery.conf", format!("standby_mode = 'on'\n{set}"));
    }
    // The limit is not reached, whatever it is.
    scratch.write_local("2warm.toml", "[restore]\nwait_limit = 100000\n");
    scratch.assert_absent(scratch.name(1));
    scratch.ship(1);
    scratch.assert_restores(1);
}

#[test]
fn a_trigger_file_makes_the_server_promote_once() {
    for content in ["", "smart", "fast"] {
        let scratch = standby();
        let mut postmaster = Postmaster::of(&scratch);
        let mut call = scratch.start(scratch.name(1));
        call.waits_for("it has not arrived");
        scratch.write("trigger", content);
        let ended = call.end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        wait_until("the request", LIMIT, || postmaster.was_asked_to_promote()).unwrap();
        assert!(scratch.data().join("promote").exists());
    }
}

/// The server deletes the file when it obeys; another one would be found by the primary that it becomes.
#[test]
fn a_server_that_has_obeyed_is_not_asked_again() {
    let scratch = standby();
    let _server = Postmaster::that_writes_down_requests(&scratch);
    scratch.ship(0);
    scratch.write("trigger", "smart");
    scratch.assert_absent(scratch.name(1));
    wait_until("the request", LIMIT, || scratch.data().join("asked").exists()).unwrap();
    let promote = scratch.data().join("promote");
    fs::remove_file(&promote).unwrap();
    scratch.assert_restores(0);
    scratch.assert_absent(scratch.name(1));
    scratch.assert_absent("00000002.history");
    assert!(!promote.exists());
}

/// A typing error stopped a healthy standby at its next segment.
#[test]
fn a_configuration_that_becomes_wrong_is_waited_out_and_a_trigger_obeyed() {
    for (file, wrong) in [("2warm.toml", "restroe = 1\n"), ("environment.sh", "if x; then\n")] {
        let scratch = Scratch::full();
        let _postmaster = Postmaster::of(&scratch);
        scratch.assert_restores(0);
        scratch.write_local(file, wrong);
        let mut call = scratch.start(scratch.name(1));
        call.says("waits until this is corrected");
        assert!(call.said().contains(file), "{}", call.said());
        scratch.write_local(file, "");
        assert_eq!(call.end().code, Some(0));
        scratch.restored().unwrap();

        scratch.write_local(file, wrong);
        let mut call = scratch.start("000000010000000100000000");
        call.says("waits until this is corrected");
        scratch.write("trigger", "smart");
        let ended = call.end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        scratch.assert_restores(2);
    }
}

#[test]
fn a_start_with_a_wrong_configuration_is_refused() {
    let scratch = Scratch::full();
    let _postmaster = Postmaster::of(&scratch);
    scratch.write_local("2warm.toml", "restroe = 1\n");
    let ended = scratch.run(scratch.name(0));
    assert_eq!(ended.code, Some(200), "{}", ended.said);
}

/// It was paid at each of the server's questions.
#[test]
fn the_time_limit_is_paid_once_per_failover() {
    let scratch = Scratch::full();
    let _postmaster = Postmaster::of(&scratch);
    let name = scratch.name(2);
    fs::remove_file(scratch.archived(name)).unwrap();
    for hung in [name, "00000002.history"] {
        let made = Command::new("mkfifo").arg(scratch.archived(hung)).status();
        assert!(made.unwrap().success());
    }
    scratch.write_local("2warm.toml", "time_limit = 6\n");
    scratch.write("trigger", "smart");
    let begun = Instant::now();
    scratch.assert_absent(name);
    let first = begun.elapsed();
    for again in [name, "00000002.history", name] {
        scratch.assert_absent(again);
    }
    // Four limits without the memory; what is left of the time is the machine's.
    assert!(begun.elapsed() - first < first, "{:?} after {first:?}", begun.elapsed() - first);
    // An archive that answers again is served from.
    scratch.assert_restores(1);
}

/// A call that can't start another process tries again, and where recovery is to end does the work itself.
#[test]
fn without_room_for_a_process_it_asks_by_itself() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db2").unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_restoreWALFile"));
    node.install_commands(binary.parent().unwrap(), &["restoreWALFile"]).unwrap();
    node.run_as().make_dir(&node.pgdata(), 0o700).unwrap();
    node.run_as().make_dir(&node.archive(), 0o700).unwrap();
    let (name, content) = &cluster().segments[1];
    node.run_as().write(&node.archive().join(name), content).unwrap();
    node.run_as().write(&node.pgdata().join("trigger"), "smart").unwrap();
    let command = node.global().join("replication/restoreWALFile");
    let mut limited = node.program("prlimit");
    limited.arg("--nproc=0").arg(command).args([name, "restored"]).current_dir(node.pgdata());
    let ended = Call::start(limited, tempfile::NamedTempFile::new().unwrap()).end();
    assert!(ended.said.contains("without a child process"), "{}", ended.said);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(&fs::read(node.pgdata().join("restored")).unwrap() == content);
}

/// Before 9.3 the postmaster deletes the file within a moment, and the call waited on.
#[test]
fn a_promote_file_that_is_gone_again_was_seen() {
    for scratch in [standby(), Scratch::new()] {
        let _postmaster = Postmaster::of(&scratch);
        let mut call = scratch.start(scratch.name(1));
        call.waits_for("it has not arrived");
        let promote = scratch.data().join("promote");
        fs::write(&promote, "").unwrap();
        fs::remove_file(promote).unwrap();
        let ended = call.end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
    }
}

/// The server read its files when it started: to answer it "not yet" would open it.
#[test]
fn a_warm_server_stays_one_whatever_is_written_beside_it() {
    let scratch = Scratch::new();
    let _postmaster = Postmaster::of(&scratch);
    scratch.write_local("2warm.toml", "[restore]\nwait_limit = 1\n");
    scratch.ship(0);
    scratch.assert_restores(0);
    if has_signal() {
        scratch.write("standby.signal", "");
    } else {
        scratch.write("recovery.conf", "standby_mode = 'on'\n");
    }
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    // Twice the limit, in which the answer would have come.
    std::thread::sleep(Duration::from_secs(2));
    assert!(!call.has_ended(), "{}", call.said());
    scratch.ship(1);
    assert_eq!(call.end().code, Some(0));
}

/// A request that was taken back is made again for the next trigger.
#[test]
fn a_trigger_that_was_taken_back_can_be_given_again() {
    let scratch = standby();
    let _server = Postmaster::that_writes_down_requests(&scratch);
    scratch.ship(0);
    for _ in 0..2 {
        scratch.write("trigger", "smart");
        scratch.assert_absent(scratch.name(1));
        fs::remove_file(scratch.data().join("promote")).expect("it was asked to promote");
        fs::remove_file(scratch.data().join("trigger")).unwrap();
        scratch.assert_restores(0);
    }
}
