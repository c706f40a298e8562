//! What must be on db2, what is, and whether that is enough.

use std::collections::BTreeMap;

use twowarm_core::testbed::{BedError, Node};

use crate::load::{Batch, FILLER, Load};
use crate::shipping::Shipped;
use crate::story::{line, say};

/// What the count on db2 showed.
#[derive(Default)]
pub struct Verdict {
    expected: Tally,
    found: Tally,
    /// Batches that must be there and are not, or not in full.
    missing: Vec<u32>,
    /// Batches that were not shipped, and how many of them are gone.
    unshipped: u32,
    unshipped_lost: u32,
}

#[derive(Default)]
struct Tally {
    batches: u64,
    rows: u64,
}

impl Tally {
    fn add(&mut self, rows: u64) {
        self.batches += 1;
        self.rows += rows;
    }
}

impl Verdict {
    /// Compares what db2 holds with what was committed before the end of the last acknowledged
    /// segment. A row counts if it holds what was written.
    pub fn count(load: &Load, shipped: &Shipped, db2: &Node) -> Result<Verdict, BedError> {
        let end = shipped.end()?;
        let held = rows_by_batch(db2)?;
        let mut verdict = Verdict::default();
        for &Batch { id, rows, committed } in &load.batches {
            let rows = u64::from(rows);
            let held = held.get(&id).copied();
            if committed > end {
                verdict.unshipped += 1;
                verdict.unshipped_lost += u32::from(held.is_none());
                continue;
            }
            verdict.expected.add(rows);
            match held {
                Some(held) if held == rows => verdict.found.add(rows),
                partly => {
                    verdict.found.rows += partly.unwrap_or(0);
                    verdict.missing.push(id);
                }
            }
        }
        Ok(verdict)
    }

    /// Whether the failover kept its promise. A load of which nothing was shipped proves nothing.
    pub fn nothing_shipped_is_lost(&self) -> bool {
        self.missing.is_empty() && self.expected.batches > 0
    }

    /// The figures and the sentence that counts.
    pub fn tell(&self) {
        let Verdict { expected, found, missing, .. } = self;
        say!("Shipped:     {} batches with {} rows.", expected.batches, expected.rows);
        say!("On db2:      {} of these batches whole, {} rows.", found.batches, found.rows);
        say!("Not shipped: {} batches; {} of them lost.", self.unshipped, self.unshipped_lost);
        line("");
        if self.nothing_shipped_is_lost() {
            say!("Nothing that was shipped is lost: PASSED.");
        } else {
            say!("Batches that were shipped and are missing: {missing:?}");
            say!("{} shipped rows are LOST: FAILED.", expected.rows - found.rows);
        }
    }
}

fn rows_by_batch(db2: &Node) -> Result<BTreeMap<u32, u64>, BedError> {
    let answer = db2.sql(&format!(
        "select id, count(n) filter (where filler = {FILLER})
         from batches left join rows on batch = id group by id"
    ))?;
    let row = |line: &str| {
        let (id, rows) = line.split_once('|')?;
        Some((id.parse().ok()?, rows.parse().ok()?))
    };
    answer
        .lines()
        .map(|line| row(line).ok_or_else(|| BedError(format!("db2 counted {line:?}"))))
        .collect()
}
