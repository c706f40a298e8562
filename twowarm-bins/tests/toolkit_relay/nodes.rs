use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use twowarm_core::archive::Archive;
use twowarm_core::testbed::{COMMANDS, Node, StopMode, Testbed, finish, names_in, wait_until};

const BUILT: &str = env!("CARGO_BIN_EXE_rsyncDR");
pub const LIMIT: Duration = Duration::from_secs(60);

/// A primary db1 with segments of 1 MB, its standby db2, and its DR node db3.
pub struct Three {
    pub db1: Node,
    pub db2: Node,
    pub db3: Node,
}

impl Three {
    /// The primary runs and has a table `t`; both standbys are copies of it and run in standby mode.
    pub fn new() -> Three {
        let three = Three::stopped();
        for node in [&three.db2, &three.db3] {
            node.start_warm().unwrap();
        }
        three
    }

    /// The same without running standbys.
    pub fn stopped() -> Three {
        let bed = Testbed::new().unwrap();
        let [mut db1, mut db2, mut db3] = ["db1", "db2", "db3"].map(|name| bed.node(name).unwrap());
        for node in [&mut db1, &mut db2, &mut db3] {
            node.start_sshd().unwrap();
            node.install_commands(BUILT, &COMMANDS).unwrap();
            node.prepend_settings("time_limit = 3").unwrap();
        }
        for (node, other, third) in [(&db1, &db2, &db3), (&db2, &db1, &db3), (&db3, &db2, &db1)] {
            node.reach(other).unwrap();
            node.reach(third).unwrap();
            node.write_local("replication/othernode", format!("{}\n", other.name())).unwrap();
        }
        for node in [&db1, &db2] {
            node.write_local("replication/drnode", "db3\n").unwrap();
        }
        // It fetches only from the DR node.
        db3.append_settings("[restore]\nrestore_from = []").unwrap();
        db1.initdb_small_segments().unwrap();
        // A standby refuses a smaller value than the one in the checkpoint of initdb.
        db1.append_conf("max_connections = 100").unwrap();
        db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
        if !db1.install().major().unwrap().streams_by_default() {
            // The checkpoint of initdb says wal_level = minimal, with which a hot standby does not start.
            db1.start().unwrap();
            db1.stop(StopMode::Fast).unwrap();
        }
        for node in [&db2, &db3] {
            node.copy_of(&db1).unwrap();
            mark_archived(node);
            node.run_as().make_dir(&node.archive(), 0o700).unwrap();
            be_standby(node);
        }
        for node in [&db2, &db3] {
            node.append_conf(&node.archiving_conf().unwrap()).unwrap();
        }
        db1.write_local("replication/archiving_active", "").unwrap();
        db1.start().unwrap();
        db1.sql("create table t (n int)").unwrap();
        Three { db1, db2, db3 }
    }

    /// Commits a row in a segment of its own and waits until it is archived.
    pub fn ship(&self) -> String {
        ship(&self.db1)
    }

    /// Runs rsyncDR on a node; it must succeed silently.
    pub fn relay(&self) {
        relay_from(&self.db2);
    }

    /// The first segment that the DR node needs, as recorded in the archive of a node.
    pub fn floor(&self) -> String {
        let consumers = Archive::open(&self.db2.archive()).unwrap().consumers().unwrap();
        let found = consumers.into_iter().find(|consumer| consumer.name == "db3");
        found.expect("the DR node is registered").floor.unwrap().to_string()
    }
}

pub fn ship(node: &Node) -> String {
    node.sql("insert into t values (1)").unwrap();
    let name = node.switch_wal().unwrap();
    node.wait_until_archived(&name).unwrap();
    name
}

pub fn rsync_dr(node: &Node) -> Command {
    let mut command = node.command("rsyncDR");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn relay_from(node: &Node) {
    let output = rsync_dr(node).output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Makes a node's data directory that of a standby in standby mode; before 9.1 in warm mode.
fn be_standby(node: &Node) {
    let settings = "restore_command = 'exec ../2warm/global/replication/restoreWALFile %f %p %r'\n";
    let timeline = "recovery_target_timeline = 'latest'\n";
    let major = node.install().major().unwrap();
    if major.has_recovery_signal() {
        node.append_conf(&format!("{settings}wal_receiver_status_interval = 0")).unwrap();
        node.run_as().write(&node.pgdata().join("standby.signal"), "").unwrap();
    } else {
        let mode = if follows(node) { "standby_mode = 'on'\n" } else { "" };
        let text = format!("{mode}{settings}{timeline}");
        node.run_as().write(&node.pgdata().join("recovery.conf"), text).unwrap();
    }
    let sample = fs::read_to_string(node.pgdata().join("postgresql.conf")).unwrap();
    if sample.contains("recovery_prefetch") {
        // Otherwise the server asks for the segment after the last one before it replays that to its end.
        node.append_conf("recovery_prefetch = off").unwrap();
    }
}

/// Whether a promotion begins a new timeline, by which a DR node accepts the WAL of the promoted node: not in 8.2.
pub fn begins_timeline(node: &Node) -> bool {
    node.install().major().unwrap().promotes_to_new_timeline()
}

/// Marks the segments that were copied as archived: through 9.4 a promoted server would archive those of its parent
/// timeline, of which the archive has later content.
fn mark_archived(node: &Node) {
    let major = node.install().major().unwrap();
    let wal = node.pgdata().join(major.wal_directory());
    if major.names_unfinished_segments() {
        return;
    }
    for segment in archived(&wal) {
        let status = wal.join("archive_status").join(format!("{segment}.done"));
        node.run_as().write(&status, "").unwrap();
    }
}

/// Whether a standby follows the promotion of another one without a restart.
pub fn follows(node: &Node) -> bool {
    node.install().major().unwrap().has_standby_mode_promotion()
}

/// Starts a standby again that can't follow a promotion while it is running.
pub fn follow(node: &Node) {
    if !follows(node) {
        node.stop(StopMode::Fast).unwrap();
        node.start_warm().unwrap();
    }
}

pub fn promote(node: &Node) {
    if follows(node) {
        node.pg_ctl(&["promote"]).unwrap();
    } else {
        finish(node.command("triggerStandby").arg("smart")).unwrap();
    }
    node.wait_for_promotion().unwrap();
}

/// Waits until a standby has replayed this many rows; before 9.0, until it has restored all segments that have arrived.
pub fn has_rows(node: &Node, rows: usize) {
    if !node.install().major().unwrap().has_hot_standby() && node.is_in_recovery().unwrap() {
        let newest = wait_until("a segment to arrive", LIMIT, || {
            archived(&node.archive()).into_iter().filter(|name| name.len() == 24).max()
        });
        return node.wait_until_restored(&newest.unwrap()).unwrap();
    }
    let replayed =
        || node.sql("select count(*) from t").is_ok_and(|found| found == rows.to_string());
    wait_until("the rows to be replayed", LIMIT, replayed)
        .unwrap_or_else(|error| panic!("{error} on {}\n{}", node.name(), node.log()));
}

pub fn holds(node: &Node, name: &str) -> bool {
    node.archive().join(name).exists()
}

/// The names of the WAL files in an archive.
pub fn archived(archive: &Path) -> Vec<String> {
    names_in(archive)
        .into_iter()
        .filter(|name| name.len() >= 16 && !name.starts_with('.'))
        .collect()
}
