//! Real servers on restoreWALFile: replay, restart, each way to fail over, and the accidents that must
//! not fail over.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::LIMIT;
use twowarm_core::testbed::{Node, StopMode, Testbed, finish, wait_until};

/// A primary that archives into the archive of a warm standby, which was made by copying its files.
struct Pair {
    primary: Node,
    standby: Node,
    hot: bool,
}

impl Pair {
    fn new(hot: bool) -> Pair {
        let bed = Testbed::new().expect("a testbed");
        let node = |name| bed.node(name).expect("a node");
        let (primary, standby) = (node("db1"), node("db2"));
        let pair = Pair { primary, standby, hot };
        pair.set_up().expect("a primary and a copy of it");
        pair
    }

    fn set_up(&self) -> Result<(), twowarm_core::testbed::BedError> {
        let (primary, standby) = (&self.primary, &self.standby);
        primary.initdb(&[])?;
        let archive = standby.archive();
        let to = archive.display();
        primary.append_conf(&format!(
            // A hot standby may not have fewer than the WAL that initdb wrote says.
            "max_connections = 100\nfsync = off\nwal_level = replica\narchive_mode = on\n\
             archive_command = 'cp %p {to}/%f.tmp && mv {to}/%f.tmp {to}/%f'"
        ))?;
        finish(standby.program("cp").arg("-a").arg(primary.pgdata()).arg(standby.pgdata()))?;
        standby.run_as().make_dir(&archive, 0o700)?;
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_restoreWALFile"));
        let built = binary.parent().expect("cargo puts binaries into a directory");
        standby.install_commands(built, &["restoreWALFile"])?;
        let hot = if self.hot { "on" } else { "off" };
        standby.append_conf(&format!(
            "{}archive_command = ''\nhot_standby = {hot}",
            standby.own_conf()?
        ))?;
        let command = "restore_command = '../2warm/global/replication/restoreWALFile %f %p %r'";
        let major = standby.run_as().clone();
        if self.uses_signal() {
            standby.append_conf(command)?;
            major.write(&standby.pgdata().join("recovery.signal"), "")?;
        } else {
            let command = format!("{command}\nrecovery_target_timeline = 'latest'\n");
            major.write(&standby.pgdata().join("recovery.conf"), command)?;
        }
        primary.start()?;
        primary.sql("create table t as select 0 as batch")?;
        Ok(())
    }

    fn uses_signal(&self) -> bool {
        let version = fs::read_to_string(self.primary.pgdata().join("PG_VERSION"));
        let version = version.expect("initdb made it");
        version.parse::<twowarm_core::version::PgMajor>().expect("a major").has_recovery_signal()
    }

    /// Commits a batch of rows on the primary and ships the segment that holds them.
    fn ship(&self, batches: std::ops::RangeInclusive<u32>) {
        let mut last = String::new();
        for batch in batches {
            let rows = format!("insert into t select {batch} from generate_series(1, 100)");
            self.primary.sql(&rows).expect("a row more");
            let switch = "select pg_walfile_name(pg_switch_wal())";
            last = self.primary.sql(switch).expect("a segment is full");
        }
        let shipped = format!("select last_archived_wal >= '{last}' from pg_stat_archiver");
        wait_until("the segments to arrive", LIMIT, || {
            self.primary.sql(&shipped).expect("the primary answers") == "t"
        })
        .expect("the primary ships");
    }

    /// Waits until the standby has replayed all that was shipped and waits for more.
    fn caught_up(&self) {
        let last = fs::read_dir(self.standby.archive()).expect("its archive").flatten();
        let last = last.filter_map(|f| f.file_name().into_string().ok()).filter(|n| n.len() == 24);
        let last = last.max().expect("something was shipped");
        let replayed = format!("restored log file \"{last}\"");
        self.standby_says(&replayed);
        wait_until("the standby to wait", LIMIT, || self.standby.runs("restoreWALFile"))
            .expect("it asks for the next segment");
    }

    /// The files in the standby's archive, in order.
    fn archived(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.standby.archive()).expect("its archive").flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        files
    }

    fn standby_says(&self, words: &str) {
        wait_until(words, LIMIT, || self.standby.log().contains(words))
            .unwrap_or_else(|e| panic!("{e}; its log:\n{}", self.standby.log()));
    }

    fn assert_not_promoted(&self) {
        let log = self.standby.log();
        assert!(!log.contains("selected new timeline ID"), "{log}");
        if self.hot {
            assert!(self.standby.is_in_recovery().unwrap_or(true), "{log}");
        }
    }

    fn trigger(&self, content: &str) {
        let trigger = self.standby.pgdata().join("trigger");
        self.standby.run_as().write(&trigger, content).expect("a trigger file");
    }

    /// Waits until the standby is a primary, which has the rows of so many batches.
    fn assert_promoted_with(&self, batches: u32) {
        let promoted = wait_until("the promotion", LIMIT, || {
            self.standby.is_in_recovery().is_ok_and(|in_recovery| !in_recovery)
        });
        promoted.unwrap_or_else(|e| panic!("{e}; its log:\n{}", self.standby.log()));
        let rows = self.standby.sql("select count(*), max(batch) from t").expect("it answers");
        assert_eq!(rows, format!("{}|{batches}", 1 + 100 * batches), "{}", self.standby.log());
        self.standby.sql("insert into t values (-1)").expect("it takes writes");
    }

    /// After the failover: the trigger gone, the new primary stopped and started.
    fn assert_restarts(&self, batches: u32) {
        let _ = fs::remove_file(self.standby.pgdata().join("trigger"));
        self.standby.stop(StopMode::Fast).expect("a new primary stops");
        self.standby.start().expect("a new primary starts again");
        self.standby.sql("delete from t where batch = -1").expect("it takes writes");
        self.assert_promoted_with(batches);
    }

    /// The usual story: replays, is restarted in between, replays on.
    fn replay_with_a_restart(&self) {
        self.ship(1..=3);
        self.standby.start_warm().expect("a warm standby");
        self.caught_up();
        self.ship(4..=5);
        self.caught_up();
        self.standby.stop(StopMode::Fast).expect("it stops while it waits");
        self.ship(6..=7);
        self.standby.start_warm().expect("it starts again");
        self.caught_up();
        self.assert_not_promoted();
    }
}

#[test]
fn fails_over_smart() {
    let pair = Pair::new(false);
    pair.replay_with_a_restart();
    pair.trigger("smart");
    pair.assert_promoted_with(7);
    pair.assert_restarts(7);
}

#[test]
fn fails_over_fast() {
    let pair = Pair::new(true);
    pair.replay_with_a_restart();
    pair.trigger("fast");
    pair.assert_promoted_with(7);
    let log = pair.standby.log();
    assert!(log.contains("recovery ends before"), "{log}");
    pair.assert_restarts(7);
}

/// What a fast failover leaves out though it has arrived.
#[test]
fn fails_over_fast_before_a_segment_that_is_there() {
    let pair = Pair::new(false);
    pair.ship(1..=2);
    pair.standby.start_warm().unwrap();
    pair.caught_up();
    pair.standby.stop(StopMode::Fast).unwrap();
    pair.ship(3..=5);
    pair.trigger("fast");
    pair.standby.start_warm().unwrap();
    pair.assert_promoted_with(2);
    pair.assert_restarts(2);
}

#[test]
fn fails_over_by_pg_ctl_promote() {
    let pair = Pair::new(true);
    pair.replay_with_a_restart();
    let pg_ctl = Testbed::new().unwrap().install().program("pg_ctl");
    let mut promote = pair.standby.program(pg_ctl);
    finish(promote.args(["promote", "-w", "-D"]).arg(pair.standby.pgdata())).unwrap();
    pair.assert_promoted_with(7);
    pair.assert_restarts(7);
}

/// A damaged segment is waited out; the real one, when it comes, is replayed.
#[test]
fn a_damaged_segment_does_not_promote() {
    let pair = Pair::new(true);
    pair.ship(1..=5);
    let names = pair.archived();
    let damaged = &names[names.len() - 2];
    let good = fs::read(damaged).unwrap();
    let mut bad = good.clone();
    // In the first record.
    bad[60] ^= 4;
    pair.standby.run_as().write(damaged, bad).unwrap();
    pair.standby.start_warm().unwrap();
    pair.standby_says("still waiting for");
    pair.assert_not_promoted();
    pair.standby.run_as().write(damaged, good).unwrap();
    pair.caught_up();
    pair.assert_not_promoted();
    pair.trigger("");
    pair.assert_promoted_with(5);
}

/// A record whose first part ends one segment and whose damage shows only in the next.
#[test]
fn a_damaged_record_between_two_segments_does_not_promote() {
    let pair = Pair::new(false);
    let rows = "select repeat(md5(i::text), 30) from generate_series(1, 40000) i";
    pair.primary.sql(&format!("create table large as {rows}")).unwrap();
    pair.ship(1..=2);
    let continues = |file: &PathBuf| fs::read(file).unwrap()[2] & 1 != 0;
    let names = pair.archived();
    let next = names.iter().rposition(continues).expect("a record is longer than its segment");
    let good = fs::read(&names[next - 1]).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    pair.standby.run_as().write(&names[next - 1], bad).unwrap();
    pair.standby.start_warm().unwrap();
    pair.standby_says("as it crosses from");
    pair.standby.run_as().write(&names[next - 1], good).unwrap();
    pair.assert_not_promoted();
    pair.standby.stop(StopMode::Fast).unwrap();
    pair.standby.start_warm().unwrap();
    pair.caught_up();
    pair.assert_not_promoted();
    pair.trigger("smart");
    pair.assert_promoted_with(2);
    assert_eq!(pair.standby.sql("select count(*) from large").unwrap(), "40000");
}

/// A restoreWALFile that outlived its server would keep the next one from starting.
#[test]
fn a_killed_server_starts_again() {
    let pair = Pair::new(false);
    pair.ship(1..=2);
    pair.standby.start_warm().unwrap();
    pair.caught_up();
    pair.standby.kill().unwrap();
    let gone = || !pair.standby.runs("restoreWALFile");
    wait_until("restoreWALFile to end", Duration::from_secs(20), gone).unwrap();
    pair.ship(3..=3);
    // The children of the killed one may need a moment.
    wait_until("the server to start again", LIMIT, || pair.standby.start_warm().is_ok()).unwrap();
    pair.caught_up();
    pair.assert_not_promoted();
    pair.trigger("smart");
    pair.assert_promoted_with(3);
}
