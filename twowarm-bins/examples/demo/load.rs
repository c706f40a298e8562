//! A load in batches that can be counted, each with the position of its commit in the log.

use std::time::Instant;

use postgres::Client;
use twowarm_core::testbed::{BedError, Node};
use twowarm_core::wal::{Lsn, SegmentName};

use crate::story::say;

const TABLES: &str = "
    create table batches (id int primary key, rows int not null);
    create table rows (batch int, n int, filler text, primary key (batch, n))";

/// What a row of a batch must hold, in SQL: some 1000 bytes that another row does not have.
pub const FILLER: &str = "repeat(md5(batch::text || '/' || n::text), 31)";

/// One batch: one transaction that committed.
pub struct Batch {
    pub id: u32,
    pub rows: u32,
    /// Where the log ended after the commit returned: all of the batch lies before it.
    pub committed: Lsn,
}

/// The session that writes, and what it has written.
pub struct Load {
    session: Client,
    pub batches: Vec<Batch>,
}

impl Load {
    /// Makes the tables.
    pub fn start(node: &Node) -> Result<Load, BedError> {
        let mut session = node.client()?;
        session.batch_execute(TABLES).map_err(failed)?;
        Ok(Load { session, batches: Vec::new() })
    }

    /// Writes so many batches of so many rows.
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
        say!("{batches} batches committed in {seconds:.1} s: {written:.1} MB of log, up to {to}.");
        Ok(())
    }

    /// Finishes the segment that is being written, as archive_timeout would in a while.
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
