use std::ops::RangeInclusive;

use super::{BedError, LIMIT, Node, StopMode, Testbed, names_in, wait_until};

/// A primary that archives with `cp` into a warm standby's archive directory (`$PGDATA/archive`), and that
/// standby, made by copying the primary's files. The test decides what its restore_command is.
#[derive(Debug)]
pub struct WarmPair {
    /// The primary. It has a table `t` with a column `batch`, and one row of batch 0.
    pub primary: Node,
    /// The standby. It is not started.
    pub standby: Node,
    restorer: &'static str,
    hot: bool,
}

impl WarmPair {
    /// Starts the primary and makes the copy. `restorer` is the program that the standby waits in, `hot`
    /// whether the standby answers queries (from 9.0 on), `initdb` what initdb is called with.
    pub fn new(restorer: &'static str, hot: bool, initdb: &[&str]) -> Result<WarmPair, BedError> {
        let bed = Testbed::new()?;
        let (primary, standby) = (bed.node("db1")?, bed.node("db2")?);
        primary.initdb(initdb)?;
        primary.archive_by_copy(&standby.archive())?;
        // A hot standby refuses a smaller value than the one in the checkpoint of initdb.
        primary.append_conf("max_connections = 100")?;
        standby.copy_of(&primary)?;
        standby.run_as().make_dir(&standby.archive(), 0o700)?;
        if bed.install().major()?.has_hot_standby() && !hot {
            standby.append_conf("hot_standby = off")?;
        }
        primary.start()?;
        primary.sql("create table t as select 0 as batch")?;
        Ok(WarmPair { primary, standby, restorer, hot })
    }

    /// Commits 100 rows for each batch on the primary, each batch in its own segment, and waits until
    /// all of these are archived.
    pub fn ship(&self, batches: RangeInclusive<u32>) -> Result<(), BedError> {
        for batch in batches {
            let rows = format!("insert into t select {batch} from generate_series(1, 100)");
            self.primary.sql(&rows)?;
            self.ship_segment()?;
        }
        Ok(())
    }

    /// Ends the primary's current segment and waits until it is archived.
    pub fn ship_segment(&self) -> Result<(), BedError> {
        self.primary.wait_until_archived(&self.primary.switch_wal()?)
    }

    /// The segments in the archive, in order.
    pub fn archived(&self) -> Vec<String> {
        names_in(&self.standby.archive()).into_iter().filter(|name| name.len() == 24).collect()
    }

    /// Waits until the standby has been given all that was archived and waits for more.
    pub fn caught_up(&self) -> Result<(), BedError> {
        let none = || BedError("nothing was archived".to_owned());
        let last = self.archived().pop().ok_or_else(none)?;
        self.standby.wait_for_log(&format!("restored log file \"{last}\""))?;
        let waits = || self.standby.runs(self.restorer);
        wait_until("the standby to ask for the next segment", LIMIT, waits)
    }

    /// Fails if the standby has been promoted.
    pub fn not_promoted(&self) -> Result<(), BedError> {
        let log = self.standby.log();
        let promoted = log.contains("selected new timeline ID")
            || self.hot && self.standby.is_in_recovery().is_ok_and(|in_recovery| !in_recovery);
        if promoted { Err(BedError(format!("the standby was promoted:\n{log}"))) } else { Ok(()) }
    }

    /// Waits until the standby is a primary; fails unless it takes writes, is on its own timeline (8.3 on)
    /// and has the rows of batches 1 to `batches` and of none after these.
    pub fn promoted_with(&self, batches: u32) -> Result<(), BedError> {
        let standby = &self.standby;
        standby.wait_for_promotion()?;
        let rows = standby.sql("select count(*), max(batch) from t")?;
        standby.sql("create table written (n int); drop table written")?;
        let own = if standby.install().major()?.promotes_to_new_timeline() { 2 } else { 1 };
        let (found, expected) =
            ((rows, standby.timeline()?), (format!("{}|{batches}", 1 + 100 * batches), own));
        if found == expected {
            return Ok(());
        }
        let log = standby.log();
        Err(BedError(format!(
            "rows, last batch and timeline are {found:?}, not {expected:?}:\n{log}"
        )))
    }

    /// The standby replays five batches, is stopped while it waits, and replays two more after a restart.
    pub fn replay_with_a_restart(&self) -> Result<(), BedError> {
        self.ship(1..=3)?;
        self.standby.start_warm()?;
        self.caught_up()?;
        self.ship(4..=5)?;
        self.caught_up()?;
        self.standby.stop(StopMode::Fast)?;
        self.ship(6..=7)?;
        self.standby.start_warm()?;
        self.caught_up()?;
        self.not_promoted()
    }
}
