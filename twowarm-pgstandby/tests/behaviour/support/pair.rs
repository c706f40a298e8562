use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use twowarm_core::testbed::{BedError, Node, StopMode, Testbed, finish, wait_until};
use twowarm_core::version::PgMajor;
use twowarm_core::wal::SegmentName;

use super::LIMIT;

/// A primary that archives into a directory, and a warm standby on pg_standby alone, which was made by
/// copying the primary's files.
pub struct Pair {
    pub primary: Node,
    pub standby: Node,
    hot: bool,
    bed: Testbed,
}

impl Pair {
    /// With `restore_command = 'pg_standby OPTIONS -t TRIGGER ARCHIVE %f %p %r'`.
    pub fn new(hot: bool, options: &str) -> Pair {
        let bed = Testbed::new().expect("a testbed");
        let node = |name| bed.node(name).expect("a node");
        let pair = Pair { primary: node("db1"), standby: node("db2"), hot, bed: bed.clone() };
        pair.set_up(options).expect("a primary and a copy of it");
        pair
    }

    fn set_up(&self, options: &str) -> Result<(), BedError> {
        let (primary, standby) = (&self.primary, &self.standby);
        primary.initdb(&[])?;
        let archive = self.archive();
        standby.run_as().make_dir(&archive, 0o700)?;
        let to = archive.display();
        let archiving = primary.archiving_conf()?;
        primary.append_conf(&format!(
            // A hot standby may not have fewer than the WAL that initdb wrote says.
            "{archiving}max_connections = 100\nfsync = off\n\
             archive_command = 'cp %p {to}/%f.tmp && mv {to}/%f.tmp {to}/%f'"
        ))?;
        finish(standby.program("cp").arg("-a").arg(primary.pgdata()).arg(standby.pgdata()))?;
        let program = standby.home().join("pg_standby");
        standby.run_as().copy_program(Path::new(env!("CARGO_BIN_EXE_pg_standby")), &program)?;
        let own = standby.own_conf()?;
        standby.append_conf(&format!("{own}archive_command = ''"))?;
        if self.major().has_hot_standby() && !self.hot {
            standby.append_conf("hot_standby = off")?;
        }
        let (program, trigger) = (program.display(), self.trigger_file());
        let command = format!(
            "restore_command = '{program} {options} -t {} {to} %f %p %r'\n",
            trigger.display()
        );
        if self.major().has_recovery_signal() {
            standby.append_conf(&command)?;
            standby.run_as().write(&standby.pgdata().join("recovery.signal"), "")?;
        } else {
            standby.run_as().write(&standby.pgdata().join("recovery.conf"), command)?;
        }
        primary.start()?;
        primary.sql("create table t as select 0 as batch")?;
        Ok(())
    }

    /// The servers' version.
    pub fn major(&self) -> PgMajor {
        let version = fs::read_to_string(self.primary.pgdata().join("PG_VERSION"));
        version.expect("initdb made it").parse().expect("a major version")
    }

    /// Where the primary archives to.
    pub fn archive(&self) -> PathBuf {
        self.standby.home().join("archive")
    }

    /// What `-t` names.
    pub fn trigger_file(&self) -> PathBuf {
        self.standby.home().join("trigger")
    }

    /// What is in the trigger file.
    pub fn trigger_content(&self) -> String {
        fs::read_to_string(self.trigger_file()).expect("a trigger file that was made")
    }

    /// Commits 100 rows for each batch on the primary, each batch in a segment of its own, and waits
    /// until these are archived.
    pub fn ship(&self, batches: RangeInclusive<u32>) {
        let mut last = String::new();
        for batch in batches {
            let rows = format!("insert into t select {batch} from generate_series(1, 100)");
            self.primary.sql(&rows).expect("more rows");
            last = self.primary.sql(self.major().current_wal_file()).expect("it writes one");
            self.primary.sql(self.major().switch_wal()).expect("a segment is full");
        }
        let last = self.archive().join(last);
        wait_until("the segments to be archived", LIMIT, || last.exists())
            .expect("the primary archives");
    }

    /// The segments in the archive, in order.
    pub fn shipped(&self) -> Vec<String> {
        let files = fs::read_dir(self.archive()).expect("the archive was made").flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.len() == 24).collect();
        names.sort();
        names
    }

    /// How many segments the standby has replayed, over all its starts.
    pub fn replayed(&self) -> usize {
        let log = self.standby.log();
        self.shipped().iter().filter(|name| log.contains(&restored(name))).count()
    }

    /// Waits until the standby has replayed all that was shipped and waits for more.
    pub fn caught_up(&self) {
        self.standby_says(&restored(self.shipped().last().expect("something was shipped")));
        let waits = || self.standby.runs("pg_standby");
        wait_until("the standby to wait", LIMIT, waits).expect("it asks for the next segment");
    }

    /// Waits until the standby's log says so.
    pub fn standby_says(&self, words: &str) {
        wait_until(words, LIMIT, || self.standby.log().contains(words))
            .unwrap_or_else(|e| panic!("{e}; its log:\n{}", self.standby.log()));
    }

    /// The segment after the last that was shipped.
    pub fn next(&self) -> String {
        let last: SegmentName = self
            .shipped()
            .last()
            .and_then(|name| name.parse().ok())
            .expect("something was shipped");
        let (log_id, segment) = (last.place.log_id, last.place.segment);
        assert!(segment < 0xFE, "the tests stay within the first 4 GB");
        format!("{:08X}{log_id:08X}{:08X}", 1, segment + 1)
    }

    /// Takes a segment out of the archive; what comes back puts it there again.
    pub fn hold_back(&self, name: &str) -> impl FnOnce() {
        let (there, aside) = (self.archive().join(name), self.archive().join("held back"));
        fs::rename(&there, &aside).expect("a segment that was shipped");
        move || fs::rename(aside, there).expect("a segment that was held back")
    }

    /// Whether a pg_standby waits for this segment.
    pub fn waits_for(&self, name: &str) -> bool {
        let command = format!("pg_standby -d -t {}", self.trigger_file().display());
        self.bed
            .processes()
            .iter()
            .any(|p| p.command.contains(&command) && p.command.contains(name))
    }

    /// What a fast trigger leaves: nothing through 14, and from 15 on which segment was refused.
    pub fn assert_fast_trigger_became(&self, refused: &str) {
        let expected =
            if self.major().asks_twice() { format!("fast {refused}\n") } else { String::new() };
        assert_eq!(self.trigger_content(), expected);
    }

    pub fn assert_not_promoted(&self) {
        let log = self.standby.log();
        assert!(!log.contains("selected new timeline ID"), "{log}");
    }

    pub fn trigger(&self, content: &str) {
        self.standby.run_as().write(&self.trigger_file(), content).expect("a trigger file");
    }

    /// Runs pg_ctl on the standby.
    pub fn pg_ctl(&self, arguments: &[&str]) -> Result<String, BedError> {
        let pg_ctl = self.standby.install().program("pg_ctl");
        finish(self.standby.program(pg_ctl).args(arguments).arg("-D").arg(self.standby.pgdata()))
    }

    /// Waits until the standby is a primary, which has the rows of so many batches.
    pub fn assert_promoted_with(&self, batches: u32) {
        let promoted = wait_until("the promotion", LIMIT, || {
            self.standby.is_in_recovery().is_ok_and(|in_recovery| !in_recovery)
        });
        promoted.unwrap_or_else(|e| panic!("{e}; its log:\n{}", self.standby.log()));
        let rows = self.standby.sql("select count(*), max(batch) from t").expect("it answers");
        assert_eq!(rows, format!("{}|{batches}", 1 + 100 * batches), "{}", self.standby.log());
        self.standby.sql("create table mine as select 1").expect("it takes writes");
        let expected = if self.major().promotes_to_new_timeline() { 2 } else { 1 };
        assert_eq!(self.standby.timeline().expect("a WAL directory"), expected);
    }

    /// The usual story: replays, is stopped and started in between, replays on.
    pub fn replay_with_a_restart(&self) {
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
        assert!(self.replayed() >= 7, "{}", self.standby.log());
    }
}

/// What the server logs of a segment that it was given.
fn restored(name: &str) -> String {
    format!("restored log file \"{name}\"")
}
