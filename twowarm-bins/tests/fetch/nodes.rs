use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::OnceLock;

use twowarm_core::testbed::{BedError, Call, Node, StopMode, Testbed, names_in, wait_until};

pub use twowarm_core::testbed::LIMIT;

/// One of the built commands.
pub const BUILT: &str = env!("CARGO_BIN_EXE_restoreWALFile");

/// Files that a real server wrote.
pub struct Cluster {
    pub version: String,
    pub control: Vec<u8>,
    /// Names and contents of segments of 1 MB, in order.
    pub segments: Vec<(String, Vec<u8>)>,
}

/// The cluster that the tests without servers share.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| make_cluster().unwrap())
}

fn make_cluster() -> Result<Cluster, BedError> {
    let bed = Testbed::new()?;
    let node = bed.node("db1")?;
    node.initdb_small_segments()?;
    let control = fs::read(node.pgdata().join("global/pg_control")).unwrap();
    let version = fs::read_to_string(node.pgdata().join("PG_VERSION")).unwrap();
    let archive = node.home().join("archive");
    node.archive_into(&archive)?;
    node.start()?;
    node.sql("create table t as select 0 as i, ''::text as filler")?;
    let filled = || names_in(&archive).iter().filter(|name| name.len() == 24).count();
    for batch in 0..14 {
        node.sql(&format!("insert into t select {batch} from generate_series(1, 100)"))?;
        node.wait_until_archived(&node.switch_wal()?)?;
    }
    node.stop(StopMode::Fast)?;
    assert!(filled() >= 14);
    let names = names_in(&archive).into_iter().filter(|name| name.len() == 24);
    let segments = names.map(|name| {
        let content = fs::read(archive.join(&name)).unwrap();
        (name, content)
    });
    Ok(Cluster { version, control, segments: segments.collect() })
}

/// db2, a standby's data directory and archive without a server, and db3, the DR node with an archive.
pub struct Pair {
    pub db2: Node,
    pub db3: Node,
    /// In the place of db2's postmaster. The calls of one server remember what they did.
    server: Child,
}

impl Pair {
    /// In standby mode, with empty archives.
    pub fn standby() -> Pair {
        let pair = Pair::warm();
        pair.write("standby.signal", "");
        pair
    }

    /// In warm mode, with empty archives.
    pub fn warm() -> Pair {
        let bed = Testbed::new().unwrap();
        let db2 = bed.node("db2").unwrap();
        let mut db3 = bed.node("db3").unwrap();
        db3.start_sshd().unwrap();
        db2.install_commands(BUILT, &["restoreWALFile"]).unwrap();
        db3.install_commands(BUILT, &["receiveWALFile", "sendWALFile"]).unwrap();
        let make =
            |node: &Node, directory: &Path| node.run_as().make_dir(directory, 0o700).unwrap();
        for node in [&db2, &db3] {
            make(node, &node.pgdata());
            make(node, &node.archive());
        }
        ["global", "pg_wal"].iter().for_each(|made| make(&db2, &db2.pgdata().join(made)));
        use_as_dr_node(&db2, &db3).unwrap();
        // A process that a request to promote does not end.
        let mut sleep = db2.program("sh");
        let server =
            sleep.args(["-c", "trap : USR1; while :; do sleep 0.1; done"]).spawn().unwrap();
        let pair = Pair { db2, db3, server };
        pair.write("postmaster.pid", format!("{}\n/d\n1\n", pair.server.id()));
        pair.write("PG_VERSION", &cluster().version);
        pair.write("global/pg_control", &cluster().control);
        pair
    }

    /// Writes a file into db2's data directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.db2.run_as().write(&self.db2.pgdata().join(name), content).unwrap();
    }

    /// Puts the cluster's segment of this index into a node's archive.
    pub fn put(&self, node: &Node, number: usize) {
        let (name, content) = &cluster().segments[number];
        self.put_as(node, name, content);
    }

    pub fn put_as(&self, node: &Node, name: &str, content: impl AsRef<[u8]>) {
        let aside = node.archive().join("aside.tmp");
        node.run_as().write(&aside, content).unwrap();
        fs::rename(aside, node.archive().join(name)).unwrap();
    }

    /// A call for a file.
    pub fn start(&self, name: &str) -> Call {
        let mut command = self.db2.command("restoreWALFile");
        command.args([name, "pg_wal/RECOVERYXLOG"]).env("TWOWARM_LOG", "debug");
        Call::start(command)
    }

    pub fn start_for(&self, number: usize) -> Call {
        self.start(name(number))
    }

    /// Waits until a call has restored this segment; returns its output.
    pub fn restores(&self, number: usize) -> String {
        let said = self.start_for(number).exits(0);
        self.has_restored(number, &said);
        said
    }

    /// Asserts that this segment was restored, and is in db2's archive.
    pub fn has_restored(&self, number: usize, said: &str) {
        let target = self.db2.pgdata().join("pg_wal/RECOVERYXLOG");
        let expected = &cluster().segments[number].1;
        assert!(&fs::read(target).unwrap() == expected, "{said}");
        self.arrives(number);
    }

    /// Asserts that this segment was restored, and that nothing else is in db2's WAL directory.
    pub fn has_handed_over(&self, number: usize, said: &str) {
        let wal = self.db2.pgdata().join("pg_wal");
        let restored = fs::read(wal.join("RECOVERYXLOG")).unwrap();
        assert!(restored == cluster().segments[number].1, "{said}");
        assert_eq!(names_in(&wal), ["RECOVERYXLOG"]);
    }

    /// Waits until this segment is in db2's archive.
    pub fn arrives(&self, number: usize) {
        let (name, content) = &cluster().segments[number];
        let file = self.db2.archive().join(name);
        wait_until(&format!("{name} to be fetched"), LIMIT, || file.exists()).unwrap();
        assert!(&fs::read(file).unwrap() == content, "another content was fetched");
    }

    /// Waits until no process of restoreWALFile is left on db2, as after a call that fetched more.
    pub fn settles(&self) {
        let ended = || !self.db2.runs("restoreWALFile") && !self.db2.runs_program("exe");
        wait_until("the processes that fetch to end", LIMIT, ended).unwrap();
        let incoming = self.db2.archive().join(".incoming");
        assert_eq!(fs::read_dir(incoming).map_or(0, Iterator::count), 0, "left behind");
    }

    /// How often db2 has logged in to db3.
    pub fn connections(&self) -> usize {
        let log = fs::read_to_string(self.db3.home().join("sshd/log")).unwrap();
        log.matches("Accepted publickey").count()
    }

    pub fn arrived(&self) -> Vec<String> {
        names_in(&self.db2.archive()).into_iter().filter(|name| name.len() >= 16).collect()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The name of the cluster's segment of this index.
pub fn name(number: usize) -> &'static str {
    &cluster().segments[number].0
}

/// Makes another node the DR node of this one, which reaches it with its shipping key.
pub fn use_as_dr_node(node: &Node, dr_node: &Node) -> Result<(), BedError> {
    let file = node.local().join("replication/othernode");
    let other = fs::read(file).unwrap();
    node.reach(dr_node)?;
    node.write_local("replication/othernode", other)?;
    node.write_local("replication/drnode", format!("{}\n", dr_node.name()))
}
