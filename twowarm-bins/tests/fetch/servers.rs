//! Real servers: the primary shipped to the DR node while its standby was down.

use std::fs;

use twowarm_core::testbed::{BedError, Node, StopMode, Testbed, names_in, wait_until};

use crate::nodes::{BUILT, LIMIT, use_as_dr_node};

/// A primary db1, its standby db2 and the DR node db3, each with an sshd.
struct Three {
    db1: Node,
    db2: Node,
    db3: Node,
}

impl Three {
    fn new(warm: bool) -> Result<Three, BedError> {
        let bed = Testbed::new()?;
        let (db1, db2) = bed.pair()?;
        let mut db3 = bed.node("db3")?;
        db3.start_sshd()?;
        use_as_dr_node(&db1, &db3)?;
        use_as_dr_node(&db2, &db3)?;
        for node in [&db1, &db2, &db3] {
            node.install_commands(BUILT, &["archiveWALFile", "receiveWALFile"])?;
            node.install_commands(BUILT, &["restoreWALFile", "sendWALFile"])?;
        }
        db1.initdb_small_segments()?;
        // A hot standby refuses a smaller value than the one in the checkpoint of initdb.
        db1.append_conf(&(db1.archiving_conf()? + "max_connections = 100"))?;
        db1.write_local("replication/archiving_active", "")?;
        db2.copy_of(&db1)?;
        db3.run_as().make_dir(&db3.pgdata(), 0o700)?;
        for node in [&db2, &db3] {
            node.run_as().make_dir(&node.archive(), 0o700)?;
        }
        let settings = "restore_command = 'exec ../2warm/global/replication/restoreWALFile %f %p %r'\n\
             wal_retrieve_retry_interval = '200ms'\nrecovery_prefetch = off\n\
             recovery_target_timeline = 'latest'";
        if warm {
            db2.recover_with(settings)?;
        } else {
            db2.append_conf(settings)?;
            db2.run_as().write(&db2.pgdata().join("standby.signal"), "")?;
        }
        db1.start()?;
        db1.sql("create table t (n int)")?;
        Ok(Three { db1, db2, db3 })
    }

    /// Commits a row for each number, each in its own segment, and waits until these are archived. Returns the last.
    fn ship(&self, numbers: std::ops::RangeInclusive<u32>) -> Result<String, BedError> {
        let mut last = String::new();
        for number in numbers {
            self.db1.sql(&format!("insert into t values ({number})"))?;
            last = self.db1.switch_wal()?;
            self.db1.wait_until_archived(&last)?;
        }
        Ok(last)
    }

    /// The primary ships to this node from now on.
    fn route(&self, node: &Node) -> Result<(), BedError> {
        self.db1.write_local("replication/othernode", format!("{}\n", node.name()))
    }

    fn replayed(&self, number: u32) -> Result<(), BedError> {
        let newest = || self.db2.sql("select max(n) from t").is_ok_and(|n| n == number.to_string());
        wait_until(&format!("row {number} to be replayed"), LIMIT, newest)
            .map_err(|e| BedError(format!("{e}; db2's log:\n{}", self.db2.relevant_log())))?;
        assert_eq!(self.db2.sql("select count(*) from t")?, number.to_string());
        Ok(())
    }

    /// db2's archive holds each segment that the primary has archived, bit for bit.
    fn has_all(&self, first: usize) {
        let own = |node: &Node| -> Vec<String> {
            names_in(&node.archive()).into_iter().filter(|name| name.len() == 24).collect()
        };
        let status = self.db1.pgdata().join("pg_wal/archive_status");
        let done = names_in(&status).into_iter().filter_map(|name| {
            name.strip_suffix(".done").filter(|name| name.len() == 24).map(str::to_owned)
        });
        for name in done.skip(first) {
            let primary = fs::read(self.db1.pgdata().join("pg_wal").join(&name));
            let standby = fs::read(self.db2.archive().join(&name));
            if let (Ok(primary), Ok(standby)) = (primary, standby) {
                assert!(primary == standby, "{name} differs");
            }
        }
        assert!(!own(&self.db2).is_empty());
    }
}

#[test]
fn a_standby_that_was_down_replays_what_only_the_dr_node_has() -> Result<(), BedError> {
    for warm in [false, true] {
        let mut three = Three::new(warm)?;
        three.ship(1..=3)?;
        three.db2.start_warm()?;
        three.replayed(3)?;
        three.db2.stop(StopMode::Fast)?;
        three.db2.sshd().stop();
        three.route(&three.db3)?;
        three.ship(4..=30)?;
        three.db2.sshd().restart()?;
        three.route(&three.db2)?;
        // The first after the gap.
        three.ship(31..=31)?;
        three.db2.start_warm()?;
        three.replayed(31)?;
        // And the way is the usual one again.
        three.ship(32..=33)?;
        three.replayed(33)?;
        three.has_all(0);
        assert_eq!(three.db2.sql("select pg_is_in_recovery()")?, "t");
        let owner = fs::read_to_string(three.db2.archive().join(".owner")).unwrap();
        assert!(owner.contains("db1"), "{owner}");
    }
    Ok(())
}

/// Only its sshd is down: no later segment arrives to show the gap.
#[test]
fn a_running_standby_follows_by_the_dr_node_alone() -> Result<(), BedError> {
    let mut three = Three::new(false)?;
    three.ship(1..=2)?;
    three.db2.start_warm()?;
    three.replayed(2)?;
    three.db2.sshd().stop();
    three.route(&three.db3)?;
    three.ship(3..=25)?;
    three.replayed(25)
}

/// All that the DR node has is replayed before the standby is promoted, with one connection for several segments.
#[test]
fn a_smart_failover_replays_what_only_the_dr_node_has() -> Result<(), BedError> {
    for warm in [false, true] {
        let mut three = Three::new(warm)?;
        three.ship(1..=2)?;
        three.db2.start_warm()?;
        three.replayed(2)?;
        three.db2.sshd().stop();
        three.route(&three.db3)?;
        three.ship(3..=25)?;
        three.db1.stop(StopMode::Immediate)?;
        three.db2.run_as().write(&three.db2.pgdata().join("trigger"), "smart")?;
        three.db2.wait_for_promotion()?;
        assert_eq!(
            three.db2.sql("select count(*), max(n) from t")?,
            "25|25",
            "{}",
            three.db2.relevant_log()
        );
    }
    Ok(())
}

/// The history of the new timeline, and its segments, are only on the DR node; the standby follows without a restart.
#[test]
fn a_standby_follows_a_timeline_that_only_the_dr_node_has() -> Result<(), BedError> {
    let mut three = Three::new(false)?;
    three.ship(1..=2)?;
    three.db2.start_warm()?;
    three.replayed(2)?;
    three.db2.sshd().stop();
    three.route(&three.db3)?;
    three.db1.stop(StopMode::Fast)?;
    three.db1.recover_with("restore_command = 'false'")?;
    three.db1.start()?;
    three.db1.wait_for_promotion()?;
    three.ship(3..=5)?;
    assert!(three.db3.archive().join("00000002.history").exists());
    three.replayed(5)?;
    assert!(three.db2.archive().join("00000002.history").exists());
    Ok(())
}
