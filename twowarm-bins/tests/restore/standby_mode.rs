//! restoreWALFile under a server in standby mode, which requests an absent file again; and problems that a running
//! standby in either mode must survive.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Instant;

use crate::support::{Call, LIMIT, Scratch, cluster, node_without_server, wait_until};
use twowarm_core::version::PgMajor;

fn has_signal() -> bool {
    cluster().version.parse::<PgMajor>().expect("PG_VERSION holds a version").has_recovery_signal()
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

/// A process in the place of the postmaster. A request to promote (SIGUSR1) ends it, since it has no handler.
struct Postmaster(Child);

impl Postmaster {
    fn of(scratch: &Scratch) -> Postmaster {
        let child = Command::new("sleep").arg("600").spawn().expect("sleep can be run");
        scratch.write("postmaster.pid", format!("{}\n/d\n1\n", child.id()));
        Postmaster(child)
    }

    /// One that notes each request to promote in the file `asked`.
    fn that_writes_down_requests(scratch: &Scratch) -> Postmaster {
        let script = "trap 'echo asked >> asked' USR1; while :; do sleep 0.05; done";
        let mut shell = Command::new("/bin/sh");
        let child = shell.args(["-c", script]).current_dir(scratch.data()).spawn();
        let child = child.expect("/bin/sh can be run");
        let status = format!("/proc/{}/status", child.id());
        wait_until("the shell to set its trap", LIMIT, || {
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
        let ended = self.0.try_wait().expect("the child was not reaped");
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
fn an_absent_segment_is_reported_after_the_limit() {
    let scratch = standby();
    scratch.write_local("2warm.toml", "[restore]\nwait_limit = 1\n");
    let said = scratch.assert_absent(scratch.name(1));
    assert!(said.contains("not arrived yet"), "{said}");
    scratch.ship(1);
    scratch.assert_restores(1);
    // A damaged segment is not restored, and reported.
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
    call.exits(0);
}

#[test]
fn a_timeline_that_can_be_followed_is_left_to_the_server_at_once() {
    let scratch = standby();
    let here = u64::from_str_radix(&scratch.name(1)[16..], 16).unwrap();
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("it has not arrived");
    scratch.put("00000002.history", scratch.left(1, here));
    call.exits(1);
    // The server then requests the segment of the new timeline, for which the call waits.
    let mut call = scratch.start(&format!("00000002{}", &scratch.name(1)[8..]));
    call.waits_for("it has not arrived");
    drop(call);
    // A standby that has replayed past the fork can't follow.
    scratch.put("00000002.history", scratch.left(1, here - 1));
    let mut call = scratch.start(scratch.name(1));
    call.waits_for("needs a new base copy");
}

#[test]
fn a_server_that_streams_is_answered_at_once() {
    let scratch = standby();
    let set = "primary_conninfo = 'host=db1'\n";
    if has_signal() {
        scratch.write("postgresql.auto.conf", set);
    } else {
        scratch.write("recovery.conf", format!("standby_mode = 'on'\n{set}"));
    }
    // The limit is not used.
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
        call.exits(1);
        wait_until("the request to promote", LIMIT, || postmaster.was_asked_to_promote()).unwrap();
        assert!(scratch.data().join("promote").exists());
    }
}

/// The server deletes the promote file when it starts promotion. A second one would be left in the new primary.
#[test]
fn a_server_that_has_started_promotion_is_not_asked_again() {
    let scratch = standby();
    let _server = Postmaster::that_writes_down_requests(&scratch);
    scratch.ship(0);
    scratch.write("trigger", "smart");
    scratch.assert_absent(scratch.name(1));
    wait_until("the request to promote", LIMIT, || scratch.data().join("asked").exists()).unwrap();
    let promote = scratch.data().join("promote");
    fs::remove_file(&promote).unwrap();
    scratch.assert_restores(0);
    scratch.assert_absent(scratch.name(1));
    scratch.assert_absent("00000002.history");
    assert!(!promote.exists());
}

/// Regression: a typing error in the configuration stopped a healthy standby at the next segment.
#[test]
fn a_wrong_configuration_delays_a_call_until_it_is_corrected_or_a_trigger_comes() {
    for (file, wrong) in [("2warm.toml", "restroe = 1\n"), ("environment.sh", "if x; then\n")] {
        let scratch = Scratch::full();
        let _postmaster = Postmaster::of(&scratch);
        scratch.assert_restores(0);
        scratch.write_local(file, wrong);
        let mut call = scratch.start(scratch.name(1));
        call.says("waits until this is corrected");
        assert!(call.said().contains(file), "{}", call.said());
        scratch.write_local(file, "");
        call.exits(0);
        scratch.restored().unwrap();

        scratch.write_local(file, wrong);
        let mut call = scratch.start("000000010000000100000000");
        call.says("waits until this is corrected");
        scratch.write("trigger", "smart");
        call.exits(1);
        scratch.assert_restores(2);
    }
}

/// Regression: the child process read a configuration that fails with an I/O error again and again before it looked
/// into the archive. A fast trigger then treated the archive as absent, with the history file in it.
#[test]
fn a_configuration_that_cannot_be_read_does_not_delay_a_failover() {
    let scratch = Scratch::full();
    let _postmaster = Postmaster::of(&scratch);
    scratch.assert_restores(0);
    scratch.put("00000002.history", scratch.left(1, 0x1C));
    // Reading it fails, and not because it does not exist.
    scratch.write_local("environment.sh", "");
    let file = scratch.local().join("environment.sh");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    scratch.write("trigger", "fast");
    let ended = scratch.run("00000002.history");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("did not answer"), "{}", ended.said);
}

#[test]
fn a_start_with_a_wrong_configuration_is_refused() {
    let scratch = Scratch::full();
    let _postmaster = Postmaster::of(&scratch);
    scratch.write_local("2warm.toml", "restroe = 1\n");
    scratch.run(scratch.name(0)).exited(200);
}

/// Regression: each request of the server waited for the time limit.
#[test]
fn the_time_limit_applies_once_per_failover() {
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
    // Without the memory the later calls would take at least three times as long as the first.
    assert!(begun.elapsed() - first < first, "{:?} after {first:?}", begun.elapsed() - first);
    // Files in an archive that answers again are restored.
    scratch.assert_restores(1);
}

/// A call that can't start its child process tries again; when recovery is to end, it reads the archive itself.
#[test]
fn without_a_child_process_it_reads_the_archive_itself() {
    let node = node_without_server();
    let (name, content) = &cluster().segments[1];
    node.run_as().write(&node.archive().join(name), content).unwrap();
    node.run_as().write(&node.pgdata().join("trigger"), "smart").unwrap();
    let command = node.global().join("replication/restoreWALFile");
    let mut limited = node.program("prlimit");
    limited.arg("--nproc=0").arg(command).args([name, "restored"]).current_dir(node.pgdata());
    let ended = Call::start(limited).end();
    assert!(ended.said.contains("without a child process"), "{}", ended.said);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(&fs::read(node.pgdata().join("restored")).unwrap() == content);
}

/// Regression: before 9.3 the postmaster deletes the promote file at once, and the call did not see it.
#[test]
fn a_promote_file_that_was_deleted_again_is_seen() {
    for scratch in [standby(), Scratch::new()] {
        let _postmaster = Postmaster::of(&scratch);
        let mut call = scratch.start(scratch.name(1));
        call.waits_for("it has not arrived");
        let promote = scratch.data().join("promote");
        fs::write(&promote, "").unwrap();
        fs::remove_file(promote).unwrap();
        call.exits(1);
    }
}

/// A server reads its recovery settings when it starts. An answer for standby mode would end recovery of a warm one.
#[test]
fn a_warm_server_stays_warm_if_its_configuration_changes() {
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
    // In standby mode each of these answers comes after the same limit.
    let control = standby();
    control.write_local("2warm.toml", "[restore]\nwait_limit = 1\n");
    (0..2).for_each(|_| drop(control.assert_absent(control.name(1))));
    assert!(!call.has_ended(), "{}", call.said());
    scratch.ship(1);
    call.exits(0);
}

/// The request to promote is repeated for a new trigger after the first was withdrawn.
#[test]
fn a_withdrawn_trigger_can_be_repeated() {
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
