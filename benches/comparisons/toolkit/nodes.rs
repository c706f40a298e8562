//! Nodes set up as in the manual.

use std::fs;
use std::path::Path;
use std::time::Duration;

use twowarm_core::testbed::{COMMANDS, Node, Testbed, finish, names_in, wait_until};

use crate::Outcome;

pub const LIMIT: Duration = Duration::from_secs(300);

/// A running primary, its standby, which is not started, and a DR node without a data directory.
pub struct Nodes {
    pub db1: Node,
    pub db2: Node,
    pub db3: Node,
}

impl Nodes {
    /// `fill` is SQL that is run before anything is archived; `initdb` are initdb's arguments.
    pub fn new(commands: &Path, initdb: &[&str], fill: &str) -> Outcome<Nodes> {
        let bed = Testbed::new()?;
        let (db1, db2) = bed.pair()?;
        let mut db3 = bed.node("db3")?;
        db3.start_sshd()?;
        for node in [&db1, &db2] {
            node.reach(&db3)?;
            db3.reach(node)?;
        }
        for (node, other) in [(&db1, &db2), (&db2, &db1), (&db3, &db2)] {
            node.install_commands(commands, &COMMANDS)?;
            node.write_local("replication/othernode", format!("{}\n", other.name()))?;
        }
        let mut conf = db1.archiving_conf()?;
        conf.push_str("max_wal_size = 1GB\n");
        for node in [&db1, &db2, &db3] {
            node.write_local("postgresql.conf", node.own_conf()? + &node.small_conf()? + &conf)?;
        }
        for node in [&db2, &db3] {
            node.run_as().make_dir(&node.pgdata(), 0o700)?;
        }
        db1.initdb(initdb)?;
        db1.append_conf(&conf)?;
        db1.start()?;
        db1.sql(fill)?;
        finish(&mut db2.command("configStandby"))?;
        finish(&mut db1.command("copyToStandby"))?;
        Ok(Nodes { db1, db2, db3 })
    }
}

/// Ends the current segment and waits until the other node has replayed it.
pub fn caught_up(from: &Node, to: &Node) -> Outcome<()> {
    from.sql("drop table if exists caught_up; create table caught_up (n int)")?;
    let written = from.sql("select pg_current_wal_lsn()")?;
    from.switch_wal()?;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
    wait_until("the standby to replay", LIMIT, || to.sql(&replayed).is_ok_and(|is| is == "t"))?;
    Ok(())
}

/// The number of files that wait to be archived.
pub fn waiting(node: &Node) -> usize {
    let status = names_in(&node.pgdata().join("pg_wal/archive_status"));
    status.iter().filter(|name| name.ends_with(".ready")).count()
}

/// Replaces a directory by a copy.
pub fn replace(node: &Node, from: &Path, to: &Path) -> Outcome<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    finish(node.program("cp").arg("-a").arg(from).arg(to))?;
    Ok(())
}
