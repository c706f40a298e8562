use std::fs;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use twowarm_core::testbed::{FaultProxy, Node, StopMode, Testbed, names_in, wait_until};

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_archiveWALFile");
/// The test segment's path in db1's data directory.
const SEGMENT: &str = "segment";
pub const LIMIT: Duration = Duration::from_secs(60);
/// The time limit of db1's network operations.
pub const TIME_LIMIT: Duration = Duration::from_secs(3);

/// A primary with segments of 1 MB, its standby db2 and its DR node db3, each reached through a proxy.
pub struct Trio {
    pub db1: Node,
    pub db2: Node,
    pub db3: Node,
    pub to_db2: FaultProxy,
    pub to_db3: FaultProxy,
    /// The name of a segment of db1's cluster that is full of WAL.
    pub one: String,
}

impl Trio {
    /// db1's server is stopped; db2 and db3 have empty data directories with archives.
    pub fn new() -> Trio {
        let mut trio = Trio::without_directories();
        for node in [&trio.db2, &trio.db3] {
            for directory in [node.pgdata(), node.archive()] {
                node.run_as().make_dir(&directory, 0o700).unwrap();
            }
        }
        let db1 = &trio.db1;
        db1.start().unwrap();
        db1.sql("create table filler as select n, string_agg(md5((n * m)::text), '') from generate_series(1, 4000) n, generate_series(1, 12) m group by n")
            .unwrap();
        let wal = names_in(&db1.pgdata().join("pg_wal"));
        trio.one = wal.into_iter().find(|name| name.len() == 24).unwrap();
        let content = fs::read(db1.pgdata().join("pg_wal").join(&trio.one)).unwrap();
        db1.run_as().write(&db1.pgdata().join(SEGMENT), content).unwrap();
        db1.stop(StopMode::Fast).unwrap();
        trio
    }

    /// db2 and db3 have no data directories yet.
    pub fn without_directories() -> Trio {
        let bed = Testbed::new().unwrap();
        let [db1, mut db2, mut db3] = ["db1", "db2", "db3"].map(|name| bed.node(name).unwrap());
        let mut proxies = Vec::new();
        for node in [&mut db2, &mut db3] {
            node.start_sshd().unwrap();
            let proxy = FaultProxy::to_sshd(node.sshd()).unwrap();
            db1.reach_through(node, &proxy).unwrap();
            proxies.push(proxy);
        }
        for node in [&db1, &db2, &db3] {
            node.install_commands(
                BUILT,
                &["archiveWALFile", "receiveWALFile", "restoreWALFile", "sendWALFile"],
            )
            .unwrap();
        }
        db1.write_local("replication/othernode", "db2\n").unwrap();
        db1.write_local("replication/drnode", "db3\n").unwrap();
        db1.write_local("replication/archiving_active", "").unwrap();
        db1.prepend_settings(&format!("time_limit = {}", TIME_LIMIT.as_secs())).unwrap();
        db1.initdb_small_segments().unwrap();
        let [to_db2, to_db3] = proxies.try_into().unwrap();
        Trio { db1, db2, db3, to_db2, to_db3, one: String::new() }
    }

    /// Makes a node a copy of db1, whose server has not been started, with an empty archive.
    pub fn copy_to(&self, node: &Node) {
        // A standby refuses a smaller value than the one in the checkpoint of initdb.
        self.db1.append_conf("max_connections = 100").unwrap();
        node.copy_of(&self.db1).unwrap();
        node.run_as().make_dir(&node.archive(), 0o700).unwrap();
    }

    /// db2 fetches from db3 what its own archive lacks, through the same proxy as db1.
    pub fn standby_fetches(&self) {
        self.db2.reach_through(&self.db3, &self.to_db3).unwrap();
        self.db2.append_settings("[restore]\nrestore_from = [\"db3\"]").unwrap();
    }

    /// The call of archiveWALFile for the test segment.
    pub fn call(&self) -> [&str; 2] {
        [SEGMENT, &self.one]
    }

    /// Starts archiveWALFile for the test segment.
    pub fn begin(&self) -> Child {
        let mut command = self.db1.command("archiveWALFile");
        command.args(self.call()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn archive(&self) -> Output {
        self.begin().wait_with_output().unwrap()
    }

    /// The test segment's content.
    pub fn content(&self) -> Vec<u8> {
        fs::read(self.db1.pgdata().join(SEGMENT)).unwrap()
    }

    pub fn set_content(&self, content: &[u8]) {
        self.db1.run_as().write(&self.db1.pgdata().join(SEGMENT), content).unwrap();
    }

    /// Archives the test segment; returns its messages.
    pub fn succeeds(&self) -> String {
        let output = self.archive();
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// Asserts that archiving the test segment fails with one line that contains all of `words`, and stores nothing.
    pub fn fails(&self, words: &[&str]) -> String {
        let output = self.archive();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("archiveWALFile: ERROR: "), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
        text
    }

    /// Archives the test segment until it arrives in the standby's archive.
    pub fn returns_to_the_standby(&self) -> String {
        let mut all = String::new();
        wait_until("the standby to be used again", LIMIT, || {
            all += &self.succeeds();
            holds(&self.db2, &self.one)
        })
        .unwrap();
        all
    }

    /// Asserts which nodes hold the test segment, bit for bit, and removes it from them.
    pub fn is_on(&self, nodes: &[&Node]) {
        let sent = self.content();
        for node in [&self.db2, &self.db3] {
            let expected = nodes.iter().any(|named| named.name() == node.name());
            let path = node.archive().join(&self.one);
            assert_eq!(path.exists(), expected, "on {}", node.name());
            if expected {
                assert!(fs::read(&path).unwrap() == sent, "on {}", node.name());
                fs::remove_file(path).unwrap();
            }
            assert_eq!(leftovers(node), [""; 0], "on {}", node.name());
        }
    }

    /// The file in which db1 remembers that a node is down.
    pub fn memory(&self) -> PathBuf {
        self.db1.local().join("replication/unreachable_nodes")
    }

    /// Makes db1 believe that the standby has just failed to answer again, and is to be tried in a minute.
    pub fn standby_is_not_due(&self) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let text = format!("version=1 reported={now}\ndb2 {now} {} 60\nend\n", now + 60);
        self.db1.run_as().write(&self.memory(), text).unwrap();
    }
}

/// Starts a node's server in standby mode.
pub fn start_standby(node: &Node) {
    let command = "../2warm/global/replication/restoreWALFile %f %p %r";
    let conf = format!(
        "restore_command = '{command}'\nhot_standby = on\nwal_receiver_status_interval = 0"
    );
    node.append_conf(&conf).unwrap();
    let sample = fs::read_to_string(node.pgdata().join("postgresql.conf")).unwrap();
    if sample.contains("recovery_prefetch") {
        // Otherwise the server asks for the segment after the last one before it replays that to its end.
        node.append_conf("recovery_prefetch = off").unwrap();
    }
    node.run_as().write(&node.pgdata().join("standby.signal"), "").unwrap();
    node.start_warm().unwrap();
}

pub fn holds(node: &Node, name: &str) -> bool {
    node.archive().join(name).exists()
}

fn leftovers(node: &Node) -> Vec<String> {
    let incoming = node.archive().join(".incoming");
    if incoming.exists() { names_in(&incoming) } else { Vec::new() }
}

pub fn said(output: &Output) -> String {
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
