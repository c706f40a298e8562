//! A primary with a backlog of WAL, and a second node. The primary's own archiver is idle: the comparisons run
//! archive_command themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use twowarm_core::testbed::{FaultProxy, Node, Testbed, finish, names_in};

use crate::Outcome;

const COMMANDS: [&str; 2] = ["archiveWALFile", "receiveWALFile"];
/// pgbench's scale factor: a database of 300 MB.
const SCALE: &str = "20";

pub struct Lab {
    pub db1: Node,
    pub db2: Node,
    /// The sshd of db2.
    pub sshd: i32,
    /// The port by which db1 reaches db2.
    pub port: u16,
    /// Settings of db1 that reach db2.
    pub settings: String,
    /// Bytes of a segment.
    pub segment: u64,
    /// Segments that pgbench filled, oldest first.
    pub loaded: Vec<String>,
    // Last, because dropping it removes the directory.
    pub bed: Testbed,
}

impl Lab {
    /// Starts both nodes and runs pgbench until it has filled `count` segments of `megabytes` MB.
    pub fn new(commands: &Path, megabytes: u64, count: usize) -> Outcome<Lab> {
        let bed = Testbed::new()?;
        let (db1, mut db2) = bed.pair()?;
        for node in [&db1, &db2] {
            node.install_commands(commands, &COMMANDS)?;
        }
        for directory in [db2.pgdata(), db2.archive()] {
            db2.run_as().make_dir(&directory, 0o700)?;
        }
        // For the carrier `local`.
        db2.run_as().write(&db2.archive().join(".archive"), "")?;
        db1.write_local("replication/archiving_active", "")?;
        db1.initdb(&[&format!("--wal-segsize={megabytes}")])?;
        // No checkpoint removes WAL. With an empty archive_command it only waits to be archived.
        db1.append_conf(
            "shared_buffers = 128MB\nwal_level = replica\narchive_mode = on\narchive_command = ''\n\
             checkpoint_timeout = 1h\nmax_wal_size = 100GB\nmin_wal_size = 1GB\nwal_keep_size = 100GB\n\
             autovacuum = off",
        )?;
        db1.start()?;
        let settings = fs::read_to_string(db1.local().join("2warm.toml"))?;
        let (sshd, port) = (db2.sshd().pid(), db2.sshd().port());
        let (segment, loaded) = (megabytes << 20, Vec::new());
        let mut lab = Lab { db1, db2, sshd, port, settings, segment, loaded, bed };
        lab.loaded = lab.fill(count)?;
        Ok(lab)
    }

    fn fill(&self, count: usize) -> Outcome<Vec<String>> {
        self.pgbench(&["-i", "-q", "-s", SCALE])?;
        self.db1.switch_wal()?;
        let before: BTreeSet<String> = self.archivable()?.into_iter().collect();
        loop {
            // A checkpoint makes the next change of each page write the whole page, as every few minutes in production.
            self.db1.sql("checkpoint")?;
            self.pgbench(&["-n", "-c", "2", "-t", "4000"])?;
            self.db1.switch_wal()?;
            let filled = self.archivable()?.into_iter().filter(|name| !before.contains(name));
            let filled: Vec<String> = filled.take(count).collect();
            if filled.len() == count {
                self.sync_wal(&filled)?;
                return Ok(filled);
            }
        }
    }

    /// Makes segments that contain one small transaction each, as archive_timeout does; returns their names.
    pub fn make_empty(&self, count: usize) -> Outcome<Vec<String>> {
        let mut names = Vec::new();
        self.db1.sql("create table if not exists small (n int)")?;
        self.db1.switch_wal()?;
        for _ in 0..count {
            self.db1.sql("insert into small values (1)")?;
            names.push(self.db1.switch_wal()?);
        }
        self.sync_wal(&names)?;
        Ok(names)
    }

    fn pgbench(&self, arguments: &[&str]) -> Outcome<()> {
        let mut command = self.db1.program(self.db1.install().program("pgbench"));
        command.arg("-h").arg(self.db1.socket_dir()).args(["-p", &self.db1.port().to_string()]);
        command.args(["-U", self.db1.run_as().user()]).args(arguments).arg("postgres");
        finish(&mut command)?;
        Ok(())
    }

    /// Not to be written out while something is measured.
    fn sync_wal(&self, names: &[String]) -> Outcome<()> {
        Ok(names.iter().try_for_each(|name| fs::File::open(self.wal_file(name))?.sync_all())?)
    }

    pub fn wal_file(&self, name: &str) -> PathBuf {
        self.db1.pgdata().join("pg_wal").join(name)
    }

    fn status_directory(&self) -> PathBuf {
        self.db1.pgdata().join("pg_wal/archive_status")
    }

    /// The names of all files that have been or wait to be archived, in order.
    fn archivable(&self) -> Outcome<Vec<String>> {
        let files = names_in(&self.status_directory());
        let stems = files.iter().filter_map(|file| file.rsplit_once('.')).map(|(stem, _)| stem);
        Ok(stems.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The number of files that wait to be archived.
    pub fn waiting(&self) -> usize {
        names_in(&self.status_directory()).iter().filter(|name| name.ends_with(".ready")).count()
    }

    /// Makes exactly these files wait to be archived.
    pub fn set_waiting(&self, names: &[String]) -> Outcome<()> {
        let directory = self.status_directory();
        for name in self.archivable()? {
            let (from, to) =
                if names.contains(&name) { ("done", "ready") } else { ("ready", "done") };
            let from = directory.join(format!("{name}.{from}"));
            if from.exists() {
                fs::rename(from, directory.join(format!("{name}.{to}")))?;
            }
        }
        Ok(())
    }

    /// Marks a file as archived.
    pub fn set_archived(&self, name: &str) -> Outcome<()> {
        let [ready, done] =
            ["ready", "done"].map(|s| self.status_directory().join(format!("{name}.{s}")));
        Ok(fs::rename(ready, done)?)
    }

    /// Makes db1 reach db2 through a proxy.
    pub fn reach_through(&mut self, proxy: &FaultProxy) -> Outcome<()> {
        self.db1.reach_through(&self.db2, proxy)?;
        self.settings = fs::read_to_string(self.db1.local().join("2warm.toml"))?;
        self.port = proxy.port();
        Ok(())
    }

    /// `ssh` with the testbed's options and this node's port, without the destination.
    pub fn ssh(&self) -> Outcome<Vec<String>> {
        let ssh: Command = self.db1.ssh(&self.db2)?;
        let words = std::iter::once(ssh.get_program()).chain(ssh.get_args());
        let mut words: Vec<String> =
            words.map(|word| word.to_string_lossy().into_owned()).collect();
        // The destination is `-l USER HOST`.
        words.truncate(words.len() - 3);
        let port = words.iter().position(|word| word == "-p").ok_or("ssh has no -p")?;
        words[port + 1] = self.port.to_string();
        Ok(words)
    }

    /// `USER@HOST` of db2.
    pub fn destination(&self) -> String {
        format!("{}@127.0.0.1", self.db2.run_as().user())
    }
}
