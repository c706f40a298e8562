use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use twowarm_core::testbed::{Process, StopMode, names_in, wait_until};

use crate::pair::{LIMIT, Pair, said};

/// db1 with 1 MB segments, and the names of those that its server has not archived.
pub struct Waiting {
    pub pair: Pair,
    pub names: Vec<String>,
}

/// The archiving of a server whose calls say whether their files were shipped ahead.
pub const ARCHIVING: &str = "archive_mode = on\nfsync = off\nwal_keep_size = '1GB'\nmin_wal_size = '600MB'\n\
    archive_command = 'while ! test -e go; do sleep 0.1; done; \
    TWOWARM_LOG=debug exec ../2warm/global/replication/archiveWALFile %p %f'";

/// Writes segments with a server whose first archive_command waits for [`Waiting::go`].
pub fn with_running_server(segments: usize) -> Waiting {
    let pair = Pair::with_cluster(&["--wal-segsize=1"]);
    pair.db1.append_conf(ARCHIVING).unwrap();
    pair.db1.start().unwrap();
    write_segments(&pair, segments);
    Waiting::of(pair, segments)
}

/// Writes segments with a server that archives nothing, and stops it, so that the test archives them itself.
pub fn without_server(segments: usize) -> Waiting {
    let pair = Pair::with_cluster(&["--wal-segsize=1"]);
    let archiving = "archive_mode = on\nfsync = off\narchive_command = 'false'";
    pair.db1.append_conf(archiving).unwrap();
    pair.db1.start().unwrap();
    write_segments(&pair, segments);
    pair.db1.stop(StopMode::Immediate).unwrap();
    Waiting::of(pair, segments)
}

fn write_segments(pair: &Pair, segments: usize) {
    pair.db1.sql("create table t (n int)").unwrap();
    let sql = "insert into t select generate_series(1, 5000); select pg_switch_wal();";
    for _ in 0..segments {
        pair.db1.sql(sql).unwrap();
    }
}

impl Waiting {
    fn of(pair: Pair, segments: usize) -> Waiting {
        let status = names_in(&pair.db1.pgdata().join("pg_wal/archive_status"));
        let ready = status.iter().filter_map(|name| name.strip_suffix(".ready"));
        let names: Vec<String> = ready.map(str::to_owned).collect();
        assert!(names.len() >= segments, "{names:?}");
        Waiting { pair, names }
    }

    /// Lets the server archive.
    pub fn go(&self) {
        self.pair.db1.run_as().write(&self.pair.db1.pgdata().join("go"), "").unwrap();
    }

    pub fn wal(&self, name: &str) -> PathBuf {
        self.pair.db1.pgdata().join("pg_wal").join(name)
    }

    pub fn status(&self, name: &str, state: &str) -> PathBuf {
        self.pair.db1.pgdata().join(format!("pg_wal/archive_status/{name}.{state}"))
    }

    pub fn socket(&self) -> PathBuf {
        self.pair.db1.local().join("replication/look_ahead")
    }

    /// The processes that ship ahead; no call runs.
    pub fn processes(&self) -> Vec<Process> {
        self.pair.db1.processes().filter(|p| p.command.contains("archiveWALFile")).collect()
    }

    pub fn ended(&self) {
        wait_until("the process that ships ahead to end", LIMIT, || self.processes().is_empty())
            .unwrap();
        assert!(!self.socket().exists());
    }

    pub fn call(&self, name: &str) -> std::process::Command {
        let mut call = self.pair.db1.command("archiveWALFile");
        call.args([&format!("pg_wal/{name}"), name]).env("TWOWARM_LOG", "debug");
        call.stdout(Stdio::piped()).stderr(Stdio::piped());
        call
    }

    /// Archives a file as the server does, which then notes that. Returns the messages.
    pub fn archive(&self, name: &str) -> String {
        let output = self.call(name).output().unwrap();
        self.is_archived(name, &output);
        said(&output)
    }

    /// Asserts that a call has succeeded and that its file is in db2's archive.
    pub fn is_archived(&self, name: &str, output: &Output) {
        assert!(output.status.success(), "{name}: {}", said(output));
        self.is_stored(name);
        fs::rename(self.status(name, "ready"), self.status(name, "done")).unwrap();
    }

    pub fn is_stored(&self, name: &str) {
        let stored = fs::read(self.pair.archived(name)).unwrap_or_default();
        assert!(stored == fs::read(self.wal(name)).unwrap(), "{name} is not stored as it is");
    }

    pub fn wait_until_stored(&self, name: &str) {
        let path = self.pair.archived(name);
        wait_until(&format!("{name} to arrive"), LIMIT, || path.exists()).unwrap();
    }

    /// The number of connections that db2's sshd has accepted.
    pub fn connections(&mut self) -> usize {
        self.pair.db2.sshd().log().matches("Accepted publickey").count()
    }

    pub fn wait_until_all_archived(&self) {
        let waiting = || {
            let mut names = names_in(&self.pair.db1.pgdata().join("pg_wal/archive_status"));
            names.retain(|name| name.ends_with(".ready"));
            names
        };
        let limit = Duration::from_secs(120);
        wait_until("all to be archived", limit, || waiting().is_empty())
            .unwrap_or_else(|e| panic!("{e}: {:?}\n{}", waiting(), self.pair.db1.log()));
    }

    pub fn shipped_ahead(&self) -> usize {
        self.pair.db1.log().matches("was shipped ahead").count()
    }
}
