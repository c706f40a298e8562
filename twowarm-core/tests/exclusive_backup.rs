//! Exclusive backups (before 9.6 the only ones, possible through 14), on a real server.
#![cfg(all(feature = "server", feature = "testbed"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::mem;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::server::{ExclusiveBackup, Login, ServerError, Session};
use twowarm_core::testbed::{Node, StopMode, Testbed, names_in, wait_until};
use twowarm_core::version::PgMajor;
use twowarm_core::wal::{BackupLabel, SegmentLayout, SegmentSize};

const NAME: &str = "ours";
const KEPT: &str = ".twowarm-backup_label";

struct Primary {
    node: Node,
    major: PgMajor,
}

impl Primary {
    fn new() -> Primary {
        let node = Testbed::new().unwrap().node("db1").unwrap();
        node.initdb_small_segments().unwrap();
        node.append_conf(&node.archiving_conf().unwrap()).unwrap();
        node.append_conf("archive_command = 'true'").unwrap();
        node.start().unwrap();
        Primary { major: node.install().major().unwrap(), node }
    }

    fn login(&self) -> Login {
        Login {
            host: None,
            port: None,
            user: Some(self.node.run_as().user().into()),
            password: None,
            database: "postgres".into(),
            time_limit: Duration::from_secs(5),
        }
    }

    /// `None` from 15 on, where there are no exclusive backups; then asserts that no file is left.
    fn try_start(&self) -> Result<Option<ExclusiveBackup>, ServerError> {
        let session = Session::open(&self.node.pgdata(), &self.login()).unwrap();
        let started = ExclusiveBackup::start(session, &self.node.pgdata(), &self.login(), NAME);
        if self.major < "15".parse().unwrap() {
            return started.map(Some);
        }
        assert!(matches!(started, Err(ServerError::Query { .. })));
        self.nothing_is_left();
        Ok(None)
    }

    fn start(&self) -> Option<ExclusiveBackup> {
        self.try_start().unwrap()
    }

    fn layout(&self) -> SegmentLayout {
        let size = if self.major.has_segment_size_option() { 1 } else { 16 };
        SegmentLayout::new(self.major, SegmentSize::new(size * 1024 * 1024).unwrap())
    }

    fn has(&self, name: &str) -> bool {
        self.node.pgdata().join(name).exists()
    }

    fn nothing_is_left(&self) {
        for name in ["backup_label", "tablespace_map", KEPT, ".twowarm-tablespace_map"] {
            assert!(!self.has(name), "{name}");
        }
    }

    fn end_other_sessions(&self) {
        let pid = if self.major < "9.2".parse().unwrap() { "procpid" } else { "pid" };
        let others = format!(
            "from pg_stat_activity where {pid} <> pg_backend_pid() and datname = 'postgres'"
        );
        // pg_terminate_backend is new in 8.4.
        for pid in self.node.sql(&format!("select {pid} {others}")).unwrap().lines() {
            kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
        }
        let none_left = || self.node.sql(&format!("select count(*) {others}")).unwrap() == "0";
        wait_until("the sessions to end", Duration::from_secs(20), none_left).unwrap();
    }

    fn is_in_backup_mode(&self) -> bool {
        let again = self.node.sql(&self.major.exclusive_backup_start("again"));
        if again.is_ok() {
            self.node.sql(self.major.exclusive_backup_stop()).unwrap();
        }
        again.is_err()
    }
}

#[test]
fn a_backup_ends_in_the_segment_that_the_server_names() {
    let primary = Primary::new();
    let side = primary.node.home().join("side");
    primary.node.run_as().make_dir(&side, 0o700).unwrap();
    primary.node.sql(&format!("create tablespace side location '{}'", side.display())).unwrap();
    let Some(backup) = primary.start() else { return };
    assert!(!primary.has("tablespace_map"));
    assert!(primary.has(KEPT) && !primary.has("backup_label"));
    let start = backup.start_lsn();
    primary.node.sql("create table t as select 1 as n").unwrap();
    let finished = backup.stop(primary.layout()).unwrap();
    let label = BackupLabel::parse(&finished.label).unwrap();
    assert_eq!((label.start_lsn(), label.label().unwrap().as_ref()), (start, NAME));
    assert!(finished.last >= finished.first);
    let map = String::from_utf8(finished.tablespace_map).unwrap();
    let ends = format!(" {}\n", side.display());
    assert_eq!(map.ends_with(&ends), primary.major.has_tablespace_map(), "{map}");
    let needs = !primary.major.has_backup_end_in_wal();
    assert_eq!(finished.history.is_some(), needs);
    primary.nothing_is_left();
    assert!(!primary.is_in_backup_mode());
}

#[test]
fn a_primary_that_crashes_in_a_backup_starts_without_the_wal_of_its_start() {
    let primary = Primary::new();
    let Some(backup) = primary.start() else { return };
    let label = fs::read(primary.node.pgdata().join(KEPT)).unwrap();
    let first = BackupLabel::parse(&label).unwrap().start_segment().to_string();
    primary.node.sql("create table t (n int)").unwrap();
    let wal = primary.node.pgdata().join(primary.major.wal_directory());
    let start = Instant::now();
    while wal.join(&first).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{first} is not recycled");
        let switch = primary.major.switch_wal();
        for sql in ["insert into t values (1)", switch, "checkpoint"] {
            primary.node.sql(sql).unwrap();
        }
    }
    // The session of the backup is gone too, as after a crash of the machine.
    primary.end_other_sessions();
    mem::forget(backup);
    primary.node.kill().unwrap();
    // A start fails until the processes of the killed server have ended.
    let limit = Duration::from_secs(60);
    wait_until("the server to start", limit, || primary.node.start().is_ok()).unwrap();
    assert!(primary.node.sql("select count(*) from t").unwrap().parse::<u32>().unwrap() > 0);

    let backup = primary.start().unwrap();
    primary.node.kill().unwrap();
    drop(backup);
    primary.nothing_is_left();
}

#[test]
fn the_backup_of_a_killed_run_is_ended_by_the_next() {
    let primary = Primary::new();
    let Some(backup) = primary.start() else { return };
    mem::forget(backup);
    assert!(primary.is_in_backup_mode());
    // A run that was killed while the label had its final name.
    drop(primary.start().unwrap());
    primary.node.sql(&primary.major.exclusive_backup_start(NAME)).unwrap();
    assert!(primary.has("backup_label"));
    // A run that was killed, after which the server was restarted.
    mem::forget(primary.start().unwrap());
    primary.node.stop(StopMode::Fast).unwrap();
    primary.node.start().unwrap();
    assert!(primary.has(KEPT));
    let finished = primary.start().unwrap().stop(primary.layout()).unwrap();
    assert!(!finished.label.is_empty());
    primary.nothing_is_left();
    assert!(!primary.is_in_backup_mode());
}

#[test]
fn a_backup_that_is_given_up_is_ended_also_when_its_session_is_gone() {
    let primary = Primary::new();
    let Some(backup) = primary.start() else { return };
    drop(backup);
    primary.nothing_is_left();
    assert!(!primary.is_in_backup_mode());

    let backup = primary.start().unwrap();
    primary.end_other_sessions();
    drop(backup);
    primary.nothing_is_left();
    assert!(!primary.is_in_backup_mode());
}

#[test]
fn another_programs_backup_is_neither_ended_nor_used() {
    let primary = Primary::new();
    let Some(backup) = primary.start() else { return };
    drop(backup);
    primary.node.sql(&primary.major.exclusive_backup_start("nightly")).unwrap();
    let error = primary.try_start().err().unwrap().to_string();
    assert!(error.contains("nightly") && error.contains("started 20"), "{error}");
    assert!(primary.has("backup_label") && primary.is_in_backup_mode());
    let hidden = primary.node.home().join("hidden");
    fs::rename(primary.node.pgdata().join("backup_label"), &hidden).unwrap();
    let error = primary.try_start().err().unwrap().to_string();
    assert!(error.contains("no backup_label"), "{error}");
    assert!(primary.is_in_backup_mode());
}

#[test]
fn a_backup_that_another_session_ended_is_an_error() {
    let primary = Primary::new();
    let Some(backup) = primary.start() else { return };
    // This fails because there is no label, but up to 9.5 it ends the running backup first.
    let ended = primary.node.sql(primary.major.exclusive_backup_stop());
    assert!(ended.is_err());
    let is_on = primary.is_in_backup_mode();
    match backup.stop(primary.layout()) {
        Ok(_) => assert!(is_on && !primary.is_in_backup_mode(), "pages may be torn"),
        Err(error) => {
            assert!(matches!(error, ServerError::BackupLost), "{error}");
            // 9.6beta4 neither ends the backup nor starts another one.
            assert_eq!(primary.is_in_backup_mode(), is_on);
        }
    }
    primary.nothing_is_left();
}

#[test]
fn a_failing_archiver_does_not_delay_the_end() {
    let primary = Primary::new();
    primary.node.append_conf("archive_command = 'false'").unwrap();
    primary.node.sql("select pg_reload_conf()").unwrap();
    let Some(backup) = primary.start() else { return };
    let began = Instant::now();
    let finished = backup.stop(primary.layout()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(finished.last >= finished.first);
    primary.nothing_is_left();
    let (wal, first) = (primary.major.wal_directory(), finished.first.to_string());
    let mut names = names_in(&primary.node.pgdata().join(wal)).into_iter();
    assert!(names.any(|name| name.starts_with(&first) && name.ends_with(".backup")));
}
