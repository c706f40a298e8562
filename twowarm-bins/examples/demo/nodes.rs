//! The three nodes, and the steps of the manual that make one a standby and one a DR node.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use twowarm_core::testbed::{BedError, COMMANDS, Node, Testbed, wait_until};
use twowarm_core::wal::Lsn;

use crate::story::say;

/// As in the manual. The other nodes get the same file with their own ports.
const ARCHIVING: &str = "wal_level = replica\n\
    archive_mode = on\n\
    archive_command = '../2warm/global/replication/archiveWALFile %p %f'\n";

const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// db1, the primary, db2, the standby, and db3, the DR node.
pub struct Nodes {
    pub db1: Node,
    pub db2: Node,
    pub db3: Node,
}

impl Nodes {
    /// Creates them. db1 runs and has the commands; the others have their local files and an empty data directory.
    pub fn new() -> Result<Nodes, BedError> {
        let bed = Testbed::new()?;
        let (db1, db2) = bed.pair()?;
        let mut db3 = bed.node("db3")?;
        db3.start_sshd()?;
        for node in [&db1, &db2] {
            node.reach(&db3)?;
            db3.reach(node)?;
            node.write_local("replication/drnode", "db3\n")?;
        }
        for (node, other) in [(&db1, "db2"), (&db2, "db1"), (&db3, "db2")] {
            node.write_local("replication/othernode", format!("{other}\n"))?;
        }
        db1.install_commands(&built_commands()?, &COMMANDS)?;
        db1.initdb(&[])?;
        db1.append_conf(ARCHIVING)?;
        let conf_file = db1.pgdata().join("postgresql.conf");
        let conf = fs::read_to_string(&conf_file).map_err(|error| {
            BedError(format!("could not read {}: {error}", conf_file.display()))
        })?;
        db1.write_local("postgresql.conf", &conf)?;
        for node in [&db2, &db3] {
            node.write_local("postgresql.conf", conf.clone() + &node.own_conf()?)?;
            node.run_as().make_dir(&node.pgdata(), 0o700)?;
        }
        db1.start()?;
        say!("db1 runs PostgreSQL {} as user {}.", bed.install().major()?, db1.run_as().user());
        Ok(Nodes { db1, db2, db3 })
    }

    /// Installs the commands on the others.
    pub fn distribute(&self) -> Result<(), BedError> {
        self.run_on(&self.db1, "distrib2warm")
    }

    /// Prepares db2, copies db1 over it and starts it.
    pub fn make_standby(&self) -> Result<(), BedError> {
        self.run_on(&self.db2, "configStandby")?;
        self.run_on(&self.db1, "copyToStandby")?;
        self.start_standby()?;
        say!("db2 is running: restoreWALFile waits for the next segment.");
        Ok(())
    }

    /// Prepares db3, copies db2 over it and starts it.
    pub fn make_dr_node(&self) -> Result<(), BedError> {
        self.run_on(&self.db3, "configStandby")?;
        // A standby can be copied once it accepts connections.
        self.replayed()?;
        self.run_on(&self.db2, "copyToDR")?;
        self.db3.start_warm()?;
        say!("db3 is running. db2 relays to it by rsyncDR, which cron would run.");
        Ok(())
    }

    /// Starts db2 and waits until it asks for a segment. It may not accept connections yet: a server may read ahead into
    /// the missing segment before it has replayed the last one.
    pub fn start_standby(&self) -> Result<(), BedError> {
        self.db2.start_warm()?;
        wait_until("db2 to wait for a segment", WAIT_LIMIT, || self.db2.runs("restoreWALFile"))
    }

    /// The last WAL location that db2 has replayed, once it accepts connections.
    pub fn replayed(&self) -> Result<Lsn, BedError> {
        wait_until("db2 to accept connections", WAIT_LIMIT, || {
            self.db2.sql("select pg_last_wal_replay_lsn()").ok()?.parse().ok()
        })
    }

    /// Runs one of the commands, which must succeed, and shows its output as on a terminal.
    pub fn run_on(&self, node: &Node, command: &str) -> Result<(), BedError> {
        let status = self.try_on(node, command)?;
        if status.success() {
            return Ok(());
        }
        Err(self.with_logs(&format!("{command} on {} failed ({status})", node.name())))
    }

    /// An error with the ends of the servers' logs.
    pub fn with_logs(&self, error: &str) -> BedError {
        BedError(format!("{error}. The servers' logs end with\n{}", self.log_tail()))
    }

    /// Runs one of the commands, with its arguments after spaces; shows its output and returns how it ended.
    pub fn try_on(&self, node: &Node, command: &str) -> Result<ExitStatus, BedError> {
        say!("{}$ {command}", node.name());
        let mut words = command.split(' ');
        let run = node.command(words.next().unwrap_or_default()).args(words).output();
        let output = run.map_err(|error| BedError(format!("could not run {command}: {error}")))?;
        for stream in [&output.stdout, &output.stderr] {
            // A progress bar rewrites its line. Only the last state is shown.
            let text = String::from_utf8_lossy(stream);
            let shown = text.lines().map(|line| line.rsplit('\r').next().unwrap_or(line));
            shown.filter(|line| !line.trim().is_empty()).for_each(|line| say!("  | {line}"));
        }
        Ok(output.status)
    }

    fn log_tail(&self) -> String {
        [&self.db1, &self.db2, &self.db3]
            .map(|node| {
                let log = node.log();
                let lines: Vec<&str> = log.lines().collect();
                format!("{}:\n{}", node.name(), lines[lines.len().saturating_sub(20)..].join("\n"))
            })
            .join("\n")
    }
}

/// Where cargo builds the commands: in the parent of the examples' directory.
fn built_commands() -> Result<PathBuf, BedError> {
    let unknown = |error| BedError(format!("could not determine the path of the demo: {error}"));
    let demo = env::current_exe().map_err(unknown)?;
    Ok(demo.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned())
}
