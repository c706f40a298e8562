//! rsyncDR with nothing to send, by the size of the archive.

use std::fs;
use std::process::Command;

use twowarm_benches::Table;
use twowarm_core::testbed::{Node, finish, names_in};

use super::nodes::{Nodes, caught_up};
use crate::Outcome;
use crate::interleaved::{Subject, interleave, timed};
use crate::programs::Programs;

const ROUNDS: usize = 20;
const SIZES: [u32; 2] = [100, 100_000];

pub fn relay(programs: &Programs) -> Outcome<Vec<Table>> {
    let fill = "create table rows as select 1 as n";
    let nodes = Nodes::new(&programs.commands, &["--wal-segsize=1"], fill)?;
    let (db1, db2, db3) = (&nodes.db1, &nodes.db2, &nodes.db3);
    finish(&mut db3.command("configStandby"))?;
    for node in [db1, db2] {
        node.write_local("replication/drnode", "db3\n")?;
    }
    finish(&mut db1.command("copyToDR"))?;
    db2.start_warm()?;
    caught_up(db1, db2)?;
    finish(&mut db2.command("rsyncDR"))?;
    let mut tables = Vec::new();
    for size in SIZES {
        enlarge(db2, db3, size)?;
        // The first run lists the archive that has grown.
        finish(&mut db2.command("rsyncDR"))?;
        let mut table =
            Table::new(&format!("T4. A relay run with nothing to send, {size} segments"));
        let subjects = vec![
            Subject::new("rsyncDR", || timed(&mut db2.command("rsyncDR"))),
            Subject::new("rsync -a of the archive", || timed(&mut rsync(db2, db3)?)),
        ];
        interleave(&mut table, ROUNDS, subjects)?;
        tables.push(table);
    }
    Ok(tables)
}

/// Adds segments from long before, which both archives have.
fn enlarge(db2: &Node, db3: &Node, size: u32) -> Outcome<()> {
    let have = names_in(&db2.archive()).len() as u32;
    for number in have..size {
        // On a timeline that was abandoned. Empty: no program reads them.
        let name = format!("00000009{:08X}{:08X}", 0xF000 + number / 256, number % 256);
        for node in [db2, db3] {
            fs::write(node.archive().join(&name), "")?;
        }
    }
    Ok(())
}

fn rsync(from: &Node, to: &Node) -> Outcome<Command> {
    let ssh = from.ssh(to)?;
    let words = std::iter::once(ssh.get_program()).chain(ssh.get_args());
    let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    // The destination is `-l USER HOST`.
    words.truncate(words.len() - 3);
    let mut rsync = from.program("rsync");
    rsync.args(["-a", "-e", &words.join(" ")]).arg(format!("{}/", from.archive().display()));
    rsync.arg(format!("{}@127.0.0.1:{}/", to.run_as().user(), to.archive().display()));
    Ok(rsync)
}
