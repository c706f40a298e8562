use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{Call, Cluster, Ended, RESTORE_WAL_FILE, cluster, names_in};

/// A standby's data directory, archive and 2warm tree, without a server.
pub struct Scratch {
    dir: TempDir,
    pub cluster: &'static Cluster,
}

impl Scratch {
    /// With an empty archive.
    pub fn new() -> Scratch {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let scratch = Scratch { dir, cluster: cluster() };
        let tree = scratch.dir.path().join("2warm");
        let data = scratch.data();
        for made in [
            tree.join("global/replication"),
            tree.join("local/replication"),
            data.join("archive"),
            data.join("global"),
            data.join("pg_wal"),
        ] {
            fs::create_dir_all(made).expect("the scratch directory is writable");
        }
        let program = tree.join("global/replication/restoreWALFile");
        symlink(RESTORE_WAL_FILE, program).expect("the scratch directory is writable");
        scratch.write("PG_VERSION", &scratch.cluster.version);
        scratch.write("global/pg_control", &scratch.cluster.control);
        scratch
    }

    /// With all segments of the cluster in the archive.
    pub fn full() -> Scratch {
        let scratch = Scratch::new();
        (0..scratch.cluster.segments.len()).for_each(|number| scratch.ship(number));
        scratch
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file in the archive.
    pub fn archived(&self, name: &str) -> PathBuf {
        self.data().join("archive").join(name)
    }

    /// The names in the archive, sorted.
    pub fn archive(&self) -> Vec<String> {
        names_in(&self.data().join("archive"))
    }

    /// Writes a file into the data directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.data().join(name), content).expect("the scratch directory is writable");
    }

    /// Reads a file in the data directory.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).expect("the file was written")
    }

    /// `2warm/local`.
    pub fn local(&self) -> PathBuf {
        self.dir.path().join("2warm/local")
    }

    /// Writes a file of `2warm/local`.
    pub fn write_local(&self, name: &str, content: &str) {
        fs::write(self.local().join(name), content).expect("the scratch directory is writable");
    }

    /// The name of one of the cluster's segments.
    pub fn name(&self, number: usize) -> &'static str {
        &self.cluster.segments[number].0
    }

    /// A line of a timeline history file: this timeline was left in the middle of this segment.
    pub fn left(&self, timeline: u32, segment: u64) -> String {
        let size = self.bytes(0).len() as u64;
        let at = segment * size + size / 2;
        format!("{timeline}\t{:X}/{:X}\tno recovery target specified\n", at >> 32, at as u32)
    }

    /// The content of one of the cluster's segments.
    pub fn bytes(&self, number: usize) -> &'static [u8] {
        &self.cluster.segments[number].1
    }

    /// Puts one of the cluster's segments into the archive, by renaming.
    pub fn ship(&self, number: usize) {
        self.put(self.name(number), self.bytes(number));
    }

    /// Puts a file into the archive, by renaming.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let aside = self.archived("aside.tmp");
        fs::write(&aside, content).expect("the archive is writable");
        fs::rename(&aside, self.archived(name)).expect("the file was just written");
    }

    /// Puts a file into the archive that was last modified a minute ago.
    pub fn put_old(&self, name: &str, content: impl AsRef<[u8]>) {
        self.put(name, content);
        let file = fs::File::open(self.archived(name)).expect("the file was just written");
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        file.set_modified(long_ago).expect("the file was just written");
    }

    /// The call that a server would make, with a target in pg_wal.
    pub fn command(&self, name: &str, restart: &[&str]) -> Command {
        let mut arguments = vec![name, "pg_wal/RECOVERYXLOG"];
        arguments.extend(restart);
        self.command_with(&arguments)
    }

    /// A call with these arguments.
    pub fn command_with(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("../2warm/global/replication/restoreWALFile");
        command.current_dir(self.data()).env_clear().env("TWOWARM_LOG", "debug").args(arguments);
        command
    }

    /// Starts a call for a file.
    pub fn start(&self, name: &str) -> Call {
        Call::start(self.command(name, &[]))
    }

    /// A call that is expected to end.
    pub fn run(&self, name: &str) -> Ended {
        self.start(name).end()
    }

    /// A call that is expected to end.
    pub fn run_with(&self, arguments: &[&str]) -> Ended {
        Call::start(self.command_with(arguments)).end()
    }

    /// Reads and removes the restored file.
    pub fn restored(&self) -> Option<Vec<u8>> {
        let target = self.data().join("pg_wal/RECOVERYXLOG");
        let content = fs::read(&target).ok()?;
        fs::remove_file(target).expect("the file was just read");
        Some(content)
    }

    /// Asserts that a call restores this segment.
    pub fn assert_restores(&self, number: usize) {
        let said = self.run(self.name(number)).exited(0);
        assert!(self.restored().as_deref() == Some(self.bytes(number)), "{said}");
    }

    /// Asserts that a call exits with 1 and leaves nothing at the target; returns its output.
    pub fn assert_absent(&self, name: &str) -> String {
        let said = self.run(name).exited(1);
        assert_eq!(self.restored(), None);
        said
    }
}
