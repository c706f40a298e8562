use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use twowarm_core::archive::Archive;
use twowarm_core::testbed::{COMMANDS, Node, Testbed, names_in, wait_until};

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
        for node in [&db2, &db3] {
            node.copy_of(&db1).unwrap();
            node.run_as().make_dir(&node.archive(), 0o700).unwrap();
            be_standby(node);
        }
        for node in [&db1, &db2, &db3] {
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

/// Makes a node's data directory that of a standby in standby mode.
fn be_standby(node: &Node) {
    let settings = "restore_command = 'exec ../2warm/global/replication/restoreWALFile %f %p %r'\n";
    let timeline = "recovery_target_timeline = 'latest'\n";
    let major = node.install().major().unwrap();
    if major.has_recovery_signal() {
        node.append_conf(&format!("{settings}wal_receiver_status_interval = 0")).unwrap();
        node.run_as().write(&node.pgdata().join("standby.signal"), "").unwrap();
    } else {
        let text = format!("standby_mode = 'on'\n{settings}{timeline}");
        node.run_as().write(&node.pgdata().join("recovery.conf"), text).unwrap();
    }
    let sample = fs::read_to_string(node.pgdata().join("postgresql.conf")).unwrap();
    if sample.contains("recovery_prefetch") {
        // Otherwise the server asks for the segment after the last one before it replays that to its end.
        node.append_conf("recovery_prefetch = off").unwrap();
    }
}

pub fn promote(node: &Node) {
    node.pg_ctl(&["promote"]).unwrap();
    node.wait_for_promotion().unwrap();
}

/// Waits until a standby has replayed this many rows.
pub fn has_rows(node: &Node, rows: usize) {
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
