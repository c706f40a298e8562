//! Compares the rows on db2 with those that must be there.

use std::collections::BTreeMap;

use twowarm_core::testbed::{BedError, Node};

use crate::load::{Batch, FILLER, Load};
use crate::shipping::Shipped;
use crate::story::{line, say};

/// The result of the count on db2.
#[derive(Default)]
pub struct Verdict {
    expected: Tally,
    found: Tally,
    /// Batches that must be there and are missing or incomplete.
    missing: Vec<u32>,
    /// Batches that were not shipped, and how many of them are missing.
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
    /// Compares the rows on db2 with those that were committed before the end of the last acknowledged segment. A row
    /// counts only if its content is right.
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

    /// Whether all shipped rows are there, and there were any.
    pub fn nothing_shipped_is_lost(&self) -> bool {
        self.missing.is_empty() && self.expected.batches > 0
    }

    /// Prints the numbers and the result.
    pub fn tell(&self) {
        let Verdict { expected, found, missing, .. } = self;
        say!(
            "Shipped before the crash:      {:>2} batches, {} rows",
            expected.batches,
            expected.rows
        );
        say!(
            "Complete on db2:               {:>2} of these batches, {} rows",
            found.batches,
            found.rows
        );
        say!(
            "Not shipped before the crash:  {:>2} batches, {} of them lost",
            self.unshipped,
            self.unshipped_lost
        );
        line("");
        if self.nothing_shipped_is_lost() {
            say!("PASSED: all rows that were shipped before the crash are on db2.");
        } else {
            say!("Shipped batches that are missing or incomplete on db2: {missing:?}");
            say!(
                "FAILED: {} rows that were shipped before the crash are lost.",
                expected.rows - found.rows
            );
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
