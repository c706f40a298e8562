//! Compares the rows on a node with those that must be there.

use std::collections::BTreeMap;
use std::process::ExitCode;

use twowarm_core::testbed::{BedError, Node};

use crate::load::{Batch, FILLER, Load};
use crate::shipping::Shipped;
use crate::story::{line, say};

/// The result of the count on a node.
#[derive(Default)]
pub struct Verdict {
    node: String,
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
    /// Compares the rows on a node with those that were committed before the end of the last acknowledged segment. A
    /// row counts only if its content is right.
    pub fn count(load: &Load, shipped: &Shipped, node: &Node) -> Result<Verdict, BedError> {
        let end = shipped.end()?;
        let held = rows_by_batch(node)?;
        let mut verdict = Verdict { node: node.name().to_owned(), ..Verdict::default() };
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

    /// Prints the numbers.
    pub fn tell(&self) {
        let Verdict { node, expected, found, .. } = self;
        say!(
            "Shipped before the crash:      {:>2} batches, {} rows",
            expected.batches,
            expected.rows
        );
        say!(
            "Complete on {node}:               {:>2} of these batches, {} rows",
            found.batches,
            found.rows
        );
        say!(
            "Not shipped before the crash:  {:>2} batches, {} of them lost",
            self.unshipped,
            self.unshipped_lost
        );
    }

    /// Prints the numbers and the result, and returns the demo's exit code.
    pub fn conclude(&self) -> ExitCode {
        let Verdict { node, expected, found, missing, .. } = self;
        self.tell();
        line("");
        if self.nothing_shipped_is_lost() {
            say!("PASSED: all rows that were shipped before the crash are on {node}.");
            return ExitCode::SUCCESS;
        }
        say!("Shipped batches that are missing or incomplete on {node}: {missing:?}");
        say!(
            "FAILED: {} rows that were shipped before the crash are lost.",
            expected.rows - found.rows
        );
        ExitCode::FAILURE
    }
}

fn rows_by_batch(node: &Node) -> Result<BTreeMap<u32, u64>, BedError> {
    let answer = node.sql(&format!(
        "select id, count(n) filter (where filler = {FILLER})
         from batches left join rows on batch = id group by id"
    ))?;
    let row = |line: &str| {
        let (id, rows) = line.split_once('|')?;
        Some((id.parse().ok()?, rows.parse().ok()?))
    };
    answer
        .lines()
        .map(|line| row(line).ok_or_else(|| BedError(format!("{} counted {line:?}", node.name()))))
        .collect()
}
