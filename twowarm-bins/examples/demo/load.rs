//! A load in batches that can be counted, each with the WAL location after its commit.

use std::time::Instant;

use postgres::Client;
use twowarm_core::testbed::{BedError, Node};
use twowarm_core::wal::{Lsn, SegmentName};

use crate::story::say;

const TABLES: &str = "
    create table batches (id int primary key, rows int not null);
    create table rows (batch int, n int, filler text, primary key (batch, n))";

/// An SQL expression for the content of a row: about 1000 bytes that differ from those of all other rows.
pub const FILLER: &str = "repeat(md5(batch::text || '/' || n::text), 31)";

/// A batch: one committed transaction.
pub struct Batch {
    pub id: u32,
    pub rows: u32,
    /// The WAL location after the commit: all WAL of the batch is before it.
    pub committed: Lsn,
}

/// The session that writes, and the batches that it has written.
pub struct Load {
    session: Client,
    pub batches: Vec<Batch>,
}

impl Load {
    /// Creates the tables.
    pub fn start(node: &Node) -> Result<Load, BedError> {
        let mut session = node.client()?;
        session.batch_execute(TABLES).map_err(failed)?;
        Ok(Load { session, batches: Vec::new() })
    }

    /// Writes `batches` batches of `rows` rows.
    pub fn run(&mut self, batches: u32, rows: u32) -> Result<(), BedError> {
        let (start, from) = (Instant::now(), self.position()?);
        for _ in 0..batches {
            let id = self.batches.len() as u32 + 1;
            self.session
                .batch_execute(&format!(
                    "begin;
                     insert into batches values ({id}, {rows});
                     insert into rows select batch, n, {FILLER}
                         from (select {id} as batch, n from generate_series(1, {rows}) n) r;
                     commit"
                ))
                .map_err(failed)?;
            let committed = self.position()?;
            self.batches.push(Batch { id, rows, committed });
        }
        let (to, seconds) = (self.position()?, start.elapsed().as_secs_f64());
        let written = (to.0 - from.0) as f64 / 1e6;
        say!(
            "{batches} batches are committed in {seconds:.1} s: {written:.1} MB of WAL, up to {to}."
        );
        Ok(())
    }

    /// Switches to a new segment, as archive_timeout would later.
    pub fn finish_segment(&mut self) -> Result<SegmentName, BedError> {
        let name = self.ask("select pg_walfile_name(pg_switch_wal())")?;
        name.parse().map_err(|error| BedError(format!("{error}")))
    }

    fn position(&mut self) -> Result<Lsn, BedError> {
        let text = self.ask("select pg_current_wal_lsn()::text")?;
        text.parse().map_err(|error| BedError(format!("{error}")))
    }

    fn ask(&mut self, sql: &str) -> Result<String, BedError> {
        self.session.query_one(sql, &[]).map(|row| row.get(0)).map_err(failed)
    }
}

fn failed(error: postgres::Error) -> BedError {
    BedError(format!("the load on db1 failed: {error:?}"))
}
