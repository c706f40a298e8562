#[cfg(test)]
mod against_shells;
mod commands;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use commands::Reader;

/// The variables that `local/environment.sh` sets.
///
/// 2warm's scripts sourced that file; here it is read and never executed. Assignments are taken, with
/// `export`, quotes, backslashes, `$NAME`, `${NAME}` and `${NAME:-WORD}`. Any other line is passed over. A
/// variable that such a line sets, or may set, has no known value: an assignment under a condition, in a
/// function or a subshell, or from `$(...)`. The same holds for a value with a variable in it that is not
/// set, which a shell would take for empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, Value>,
    exported: BTreeSet<String>,
    passed_over: Vec<Line>,
}

/// What the file leaves in a variable, or why that is not known.
type Value = Result<String, Problem>;

/// Why the value of a variable is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    line: usize,
    text: String,
    /// Whether only a shell could tell the value.
    is_code: bool,
}

/// A line, or several that belong together, which a shell would run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    first: usize,
    last: usize,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { first, last, text } = self;
        if first == last {
            write!(f, "line {first} ({text})")
        } else {
            write!(f, "lines {first} to {last} ({text} ...)")
        }
    }
}

/// The file does not say what is needed of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Where the next command begins can't be told, so nothing behind it is known.
    #[error("line {line}: {problem}")]
    Unreadable {
        /// The line, counted from 1.
        line: usize,
        /// What was found there.
        problem: String,
    },
    /// Variables that are needed have no known value.
    #[error(
        "{problems}. Only assignments such as PGDATA=/data/15 are read, nothing is run{passed_over}"
    )]
    Unknown {
        /// Each variable with the line and the reason.
        problems: String,
        /// The lines that are passed over, if there are any.
        passed_over: String,
    },
}

impl Environment {
    /// Reads the file's text; `outer` gives the variables that are set before.
    pub fn parse(
        text: &str,
        outer: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Environment, EnvironmentError> {
        let mut reader = Reader::new(text, outer);
        reader.file()?;
        Ok(reader.found())
    }

    /// What a variable was set to, if that is known and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?.as_ref().ok()?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether `export` was said of it.
    pub fn is_exported(&self, name: &str) -> bool {
        self.exported.contains(name)
    }

    /// All variables whose values are known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref().ok()?)))
    }

    /// Refuses a file that sets one of these variables to a value which is not known.
    pub fn require(&self, names: &[&str]) -> Result<(), EnvironmentError> {
        let problems: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let problem = self.values.get(*name)?.as_ref().err()?;
                Some(format!("{name} is not known: line {}: {}", problem.line, problem.text))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let passed_over = self.passed_over().map(|lines| format!("; passed over: {lines}"));
        Err(EnvironmentError::Unknown {
            problems: problems.join("; "),
            passed_over: passed_over.unwrap_or_default(),
        })
    }

    /// The lines that are no assignments, for a message; none if there are none.
    pub fn passed_over(&self) -> Option<String> {
        let lines: Vec<String> = self.passed_over.iter().map(Line::to_string).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }
}
