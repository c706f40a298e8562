//! One segment to another node through a real sshd: twowarm, the rsync that 2warm ran, and scp.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use twowarm_benches::Table;
use twowarm_core::testbed::{BedError, Node, StopMode, Testbed};

use crate::Outcome;
use crate::interleaved::{Subject, interleave, timed};
use crate::programs::Programs;

const ROUNDS: usize = 40;
const COMMANDS: [&str; 2] = ["archiveWALFile", "receiveWALFile"];
/// The second segment of a cluster, full of a table's rows.
const NAME: &str = "000000010000000000000002";

struct Shipping {
    db1: Node,
    db2: Node,
    segment: PathBuf,
    // Last, because dropping it removes the directory.
    _bed: Testbed,
}

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let shipping = Shipping::new(&programs.commands)?;
    let subjects = vec![
        Subject::new("twowarm, fsynced", || {
            let mut command = shipping.db1.command("archiveWALFile");
            command.arg(format!("pg_wal/{NAME}")).arg(NAME);
            shipping.ship(&mut command)
        }),
        Subject::new("rsync -c --fsync", || {
            shipping.ship(&mut shipping.rsync(&["-c", "--fsync"])?)
        }),
        Subject::new("rsync -c", || shipping.ship(&mut shipping.rsync(&["-c"])?)),
        Subject::new("rsync -cz, as 2warm did", || shipping.ship(&mut shipping.rsync(&["-cz"])?)),
        Subject::new("scp", || shipping.ship(&mut shipping.scp()?)),
    ];
    let mut table = Table::new("6. One 16 MB segment to another node by ssh, over loopback");
    interleave(&mut table, ROUNDS, subjects)?;
    table.note("twowarm also checks each record; without --fsync the file is not on disk");
    Ok(vec![table])
}

impl Shipping {
    fn new(commands: &Path) -> Outcome<Shipping> {
        let bed = Testbed::new()?;
        let (db1, db2) = bed.pair()?;
        for node in [&db1, &db2] {
            node.install_commands(commands, &COMMANDS)?;
        }
        db1.initdb(&[])?;
        db1.append_conf("fsync = off\nmin_wal_size = 256MB\nmax_wal_size = 1GB")?;
        db1.start()?;
        let rows = "generate_series(1, 300000) n";
        db1.sql(&format!("create table t as select n, md5(n::text) from {rows}"))?;
        db1.stop(StopMode::Immediate)?;
        db1.write_local("replication/archiving_active", "")?;
        for directory in [db2.pgdata(), db2.archive()] {
            db2.run_as().make_dir(&directory, 0o700)?;
        }
        let segment = db1.pgdata().join("pg_wal").join(NAME);
        fs::File::open(&segment)?.sync_all()?;
        Ok(Shipping { db1, db2, segment, _bed: bed })
    }

    fn ship(&self, command: &mut Command) -> Outcome<Duration> {
        let place = self.db2.archive().join(NAME);
        if place.exists() {
            fs::remove_file(&place)?;
        }
        let took = timed(command)?;
        if fs::read(&place)? == fs::read(&self.segment)? {
            Ok(took)
        } else {
            Err("another content arrived".into())
        }
    }

    fn place(&self) -> String {
        let user = self.db2.run_as().user();
        format!("{user}@127.0.0.1:{}", self.db2.archive().join(NAME).display())
    }

    fn rsync(&self, options: &[&str]) -> Result<Command, BedError> {
        // Without the host, which rsync adds.
        let ssh = self.ssh_options()?;
        let mut command = self.db1.program("rsync");
        command.args(options).arg("-e").arg(format!("ssh {}", ssh.join(" ")));
        command.arg(&self.segment).arg(self.place());
        Ok(command)
    }

    fn scp(&self) -> Result<Command, BedError> {
        let mut command = self.db1.program("scp");
        // -O because the testbed's sshd has no sftp. Of ssh's options, scp spells only the port's differently.
        let options =
            self.ssh_options()?.into_iter().map(|o| if o == "-p" { "-P".into() } else { o });
        command.args(["-q", "-O"]).args(options).arg(&self.segment).arg(self.place());
        Ok(command)
    }

    /// The testbed's ssh options without the destination: `-l USER HOST`.
    fn ssh_options(&self) -> Result<Vec<String>, BedError> {
        let ssh = self.db1.ssh(&self.db2)?;
        let all: Vec<String> = ssh.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        Ok(all[..all.len() - 3].to_vec())
    }
}
