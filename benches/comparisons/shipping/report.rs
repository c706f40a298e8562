//! The table of a shipping comparison.

use std::time::Duration;

use super::archiver::Cost;
use super::memory::Peaks;

/// What one way of archiving cost.
pub struct Row {
    pub name: String,
    pub outcome: Measured,
}

pub enum Measured {
    /// The program is not installed.
    Absent,
    /// Its first run failed, with this message.
    Failed(String),
    Runs {
        costs: Vec<Cost>,
        peaks: Peaks,
    },
}

/// Prints a row for each way of archiving: the median time per segment and twowarm's by this one, processor seconds of
/// both ends together per GB of WAL, and the largest process at the near and at the far end.
pub fn print(title: &str, rows: &[Row], segments: usize, segment: u64, notes: &[&str]) {
    println!("{title}");
    println!(
        "  {:<34}{:>4}{:>12}{:>9}{:>9}{:>10}{:>10}{:>9}",
        "", "n", "ms/segment", "ratio", "MB/s", "CPU s/GB", "MB near", "MB far"
    );
    let ours = rows.first().and_then(|row| row.median()).unwrap_or_default().as_secs_f64();
    for row in rows {
        let (costs, peaks) = match &row.outcome {
            Measured::Absent => {
                println!("  {:<34}{:>4}", row.name, "absent");
                continue;
            }
            Measured::Failed(message) => {
                println!("  {:<34}failed: {message}", row.name);
                continue;
            }
            Measured::Runs { costs, peaks } => (costs, peaks),
        };
        let wall = row.median().unwrap_or_default().as_secs_f64();
        let bytes = segments as f64 * segment as f64;
        let cpu = median(costs.iter().map(|cost| cost.processor).collect()).as_secs_f64();
        println!(
            "  {:<34}{:>4}{:>12.1}{:>9.3}{:>9.1}{:>10.2}{:>10.1}{:>9.1}",
            row.name,
            costs.len(),
            wall * 1e3 / segments as f64,
            ours / wall,
            bytes / wall / 1e6,
            cpu / (bytes / f64::from(1 << 30)),
            peaks.near as f64 / 1024.0,
            peaks.far as f64 / 1024.0,
        );
    }
    notes.iter().for_each(|note| println!("  {note}"));
    println!();
}

impl Row {
    fn median(&self) -> Option<Duration> {
        match &self.outcome {
            Measured::Runs { costs, .. } => {
                Some(median(costs.iter().map(|cost| cost.wall).collect()))
            }
            _ => None,
        }
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
