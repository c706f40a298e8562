#[cfg(test)]
mod against_shells;
mod commands;
mod reader;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use reader::Reader;

/// The variables that `local/environment.sh` sets.
///
/// 2warm's scripts source that file; here it is parsed and never executed. Assignments are read, with `export`,
/// quotes, backslashes, `$NAME`, `${NAME}` and `${NAME:-WORD}`; all other lines are ignored. A variable that an
/// ignored line sets or may set has an unknown value: an assignment under a condition, in a function or a
/// subshell, or from `$(...)`. So has one whose value contains a variable that is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, Value>,
    exported: BTreeSet<String>,
    ignored: Vec<Line>,
}

/// The value of a variable, or why it is not known.
type Value = Result<String, Problem>;

/// Why the value of a variable is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    line: usize,
    text: String,
    /// Whether a shell would have to run code for the value.
    is_code: bool,
}

/// A command on one line or several, which a shell would run.
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

/// Why `environment.sh` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A syntax error: the start of the next command, and so the rest of the file, can't be determined.
    #[error("line {line}: {problem}")]
    Unreadable {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong in it.
        problem: String,
    },
    /// The values of required variables are not known.
    #[error(
        "{problems}. Only assignments such as PGDATA=/data/15 are read; commands are not run{ignored}"
    )]
    Unknown {
        /// Each variable, with the line and the reason.
        problems: String,
        /// The lines that are ignored, if any.
        ignored: String,
    },
}

impl Environment {
    /// Parses the text of the file. `outer` returns the variables that are already set.
    ///
    /// # Errors
    /// If it has a syntax error.
    pub fn parse(
        text: &str,
        outer: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Environment, EnvironmentError> {
        let mut reader = Reader::new(text, outer);
        reader.file()?;
        Ok(reader.found())
    }

    /// The value of a variable, if it is known and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?.as_ref().ok()?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the variable is exported.
    pub(crate) fn is_exported(&self, name: &str) -> bool {
        self.exported.contains(name)
    }

    /// All variables with known values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref().ok()?)))
    }

    /// Checks that the file does not set one of these variables to an unknown value.
    pub(crate) fn require(&self, names: &[&str]) -> Result<(), EnvironmentError> {
        let problems: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let problem = self.values.get(*name)?.as_ref().err()?;
                Some(format!("could not determine {name}: line {}: {}", problem.line, problem.text))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let ignored = self.ignored_lines().map(|lines| format!("; ignored: {lines}"));
        Err(EnvironmentError::Unknown {
            problems: problems.join("; "),
            ignored: ignored.unwrap_or_default(),
        })
    }

    /// The lines that are not assignments, for a message; `None` if there are none.
    #[must_use]
    pub fn ignored_lines(&self) -> Option<String> {
        let lines: Vec<String> = self.ignored.iter().map(Line::to_string).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }
}
