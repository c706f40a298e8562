use std::fmt;
use std::time::Duration;

use crate::Samples;

/// A comparison of programs, twowarm's first.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    rows: Vec<(String, Samples)>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub fn new(title: &str) -> Table {
        Table { title: title.to_owned(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row. The others are compared with the first.
    pub fn row(&mut self, name: &str, samples: Samples) {
        self.rows.push((name.to_owned(), samples));
    }

    /// Adds a note below the rows.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let (name, count, median, p99, ratio) = ("", "n", "median ms", "p99 ms", "ratio");
        writeln!(f, "  {name:<34}{count:>6}{median:>12}{p99:>12}{ratio:>13}")?;
        let ours = self.rows.first().map_or(Duration::ZERO, |(_, samples)| samples.median());
        for (name, samples) in &self.rows {
            let ratio = ours.as_secs_f64() / samples.median().as_secs_f64();
            let (median, p99) = (millis(samples.median()), millis(samples.percentile(99)));
            let count = samples.count();
            writeln!(f, "  {name:<34}{count:>6}{median:>12.3}{p99:>12.3}{ratio:>13.3}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_first_median_by_this_one() {
        let mut table = Table::new("title");
        for (name, millis) in [("twowarm", 2), ("cp", 8)] {
            let mut samples = Samples::default();
            samples.push(Duration::from_millis(millis));
            table.row(name, samples);
        }
        let text = table.to_string();
        let last = text.lines().last().unwrap();
        assert!(last.trim_start().starts_with("cp") && last.ends_with("0.250"), "{text}");
    }
}
