//! The example `restore_loop`, as the restore_command of a real warm standby, and called directly.
#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use twowarm_core::data_directory::RecoveryMode;
use twowarm_core::standby::RecoverySource;
use twowarm_core::testbed::{Node, StopMode, Testbed, example, finish, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| example("restore_loop").unwrap());

struct Pair {
    primary: Node,
    standby: Node,
    archive: PathBuf,
    bed: Testbed,
}

impl Pair {
    /// A primary that archives, and a warm standby on a file copy of it.
    fn new() -> Pair {
        let bed = Testbed::new().unwrap();
        let (primary, standby) = (bed.node("db1").unwrap(), bed.node("db2").unwrap());
        let archive = bed.dir().join("shipped");
        bed.run_as().make_dir(&archive, 0o755).unwrap();
        let program = bed.dir().join("restore_loop");
        bed.run_as().copy_program(&EXAMPLE, &program).unwrap();
        primary.initdb_small_segments().unwrap();
        let at = archive.display();
        let conf = format!(
            "hot_standby = on\nwal_level = replica\narchive_mode = on\n\
             archive_command = 'cp %p {at}/new && mv {at}/new {at}/%f'\n"
        );
        primary.append_conf(&conf).unwrap();
        primary.start().unwrap();
        primary.stop(StopMode::Fast).unwrap();
        let mut copy = primary.program("cp");
        finish(copy.arg("-a").arg(primary.pgdata()).arg(standby.pgdata())).unwrap();
        standby.append_conf(&standby.own_conf().unwrap()).unwrap();
        primary.start().unwrap();
        let major = bed.install().major().unwrap();
        let source = RecoverySource {
            file: standby.home().join("recovery.conf"),
            mode: Some(RecoveryMode::Warm),
            restore_command: format!("exec {} {at} %f %p %r", program.display()),
        };
        source.read(major).unwrap().apply(&standby.pgdata()).unwrap();
        // If the tests run as root, the servers don't.
        let mut own = Command::new("chown");
        own.arg("-R").arg("--reference").arg(standby.home()).arg(standby.pgdata());
        finish(&mut own).unwrap();
        standby.start_warm().unwrap();
        Pair { primary, standby, archive, bed }
    }

    /// Ends a segment on the primary, and returns its path in the archive once it is there.
    fn ship(&self, sql: &str) -> PathBuf {
        self.primary.sql(sql).unwrap();
        let segment = self.archive.join(self.primary.switch_wal().unwrap());
        wait_until("the segment to be archived", LIMIT, || segment.exists()).unwrap();
        segment
    }

    fn wait(&self, what: &str, happened: impl Fn() -> bool) {
        wait_until(what, LIMIT, happened)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.standby.log()));
    }

    fn replays(&self, table: &str) {
        let question = format!("select count(*) from {table}");
        self.wait(table, || self.standby.sql(&question).is_ok_and(|rows| rows == "1"));
        assert!(self.standby.is_in_recovery().unwrap());
    }
}

#[test]
fn a_warm_standby_restores_waits_prunes_and_is_triggered() {
    let pair = Pair::new();
    let first = pair.ship("create table one as select 1");
    pair.replays("one");
    let calls = || {
        let processes = pair.bed.processes();
        processes.iter().filter(|process| process.command.contains("/restore_loop ")).count()
    };
    pair.wait("the archive to be asked by a child process", || calls() == 2);

    // Segments before the restart point are removed: the call after next gets the new one.
    pair.primary.sql("checkpoint").unwrap();
    pair.ship("create table two as select 1");
    pair.replays("two");
    pair.standby.sql("checkpoint").unwrap();
    for table in ["three_a", "three_b"] {
        pair.ship(&format!("create table {table} as select 1"));
        pair.replays(table);
    }
    pair.wait("the archive to be pruned", || !first.exists());

    // A damaged segment ends a warm standby's recovery if it is restored. It is waited for.
    pair.standby.stop(StopMode::Fast).unwrap();
    let segment = pair.ship("create table four as select 1");
    let sound = fs::read(&segment).unwrap();
    let mut damaged = sound.clone();
    damaged[400..500].fill(0xEE);
    fs::write(&segment, &damaged).unwrap();
    pair.standby.start_warm().unwrap();
    pair.wait("the damage to be reported", || pair.standby.log().contains("damaged: WAL ends"));
    let aside = pair.archive.join("aside");
    fs::write(&aside, &sound).unwrap();
    fs::rename(&aside, &segment).unwrap();
    pair.replays("four");

    let trigger = pair.standby.pgdata().join("trigger");
    pair.standby.run_as().write(&trigger, "smart").unwrap();
    pair.wait("the promotion", || pair.standby.is_in_recovery().is_ok_and(|recovers| !recovers));
    assert_eq!(pair.standby.sql("select count(*) from four").unwrap(), "1");
}

/// The environment variable by which the program recognizes that it is the child.
const PARENT: &str = "TWOWARM_ARCHIVE_PROCESS_OF";

/// A call outside of a server, for a history file that exists, with a restart point that is refused aloud.
fn call(parent: u32, stdin: Stdio) -> (Output, bool) {
    call_with(parent, stdin, &|_, _| ())
}

fn call_with(parent: u32, stdin: Stdio, change: &dyn Fn(&mut Command, &Path)) -> (Output, bool) {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("00000002.history"), "1\t0/3000158\tno recovery target\n").unwrap();
    let mut command = Command::new(&*EXAMPLE);
    command.arg(&archive).args(["00000002.history", "RECOVERYHISTORY", "nonsense"]);
    command.current_dir(dir.path()).env(PARENT, parent.to_string()).stdin(stdin);
    change(&mut command, dir.path());
    let output = command.output().unwrap();
    (output, dir.path().join("RECOVERYHISTORY").exists())
}

fn is_whole_call((output, restored): (Output, bool)) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(restored && said.contains("restart point is not a segment name"), "{said}");
}

#[test]
fn a_variable_that_was_left_in_the_servers_environment_changes_nothing() {
    is_whole_call(call(std::process::id(), Stdio::null()));
    is_whole_call(call(std::process::id(), Stdio::piped()));
    let (_ours, theirs) = UnixStream::pair().unwrap();
    is_whole_call(call(1, OwnedFd::from(theirs).into()));
}

#[test]
fn a_child_whose_parent_is_gone_restores_nothing_and_does_not_promote() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let (output, restored) = call(1, OwnedFd::from(theirs).into());
    assert_eq!(output.status.code(), Some(200));
    assert!(!restored);
}

/// With a trigger it reads the archive itself; without one it waits, and starts no more processes either.
#[test]
fn a_program_that_does_not_recognize_that_it_is_the_child_does_not_start_itself_without_end() {
    let (output, restored) = call_with(1, Stdio::null(), &|command, directory| {
        command.env("TWOWARM_ARCHIVE_PROCESS_DEPTH", "4");
        fs::write(directory.join("trigger"), "smart").unwrap();
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(restored && said.contains("did not recognize that it is a child process"), "{said}");
}

#[test]
fn a_call_with_wrong_arguments_stops_the_server() {
    let output = Command::new(&*EXAMPLE).output().unwrap();
    assert_eq!(output.status.code(), Some(200));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"));
}
