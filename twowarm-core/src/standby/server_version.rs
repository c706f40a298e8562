use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data_directory::{IdentityError, major_version};
use crate::version::PgMajor;

/// Where Debian and its derivatives install the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Why the server's version is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerVersionError {
    /// `PG_VERSION` can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// `postgres --version` failed.
    #[error("could not get the version of \"{}\": {problem}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What failed, or what it printed.
        problem: String,
    },
    /// There is no `postgres` program in any of the usual directories.
    #[error(
        "could not find the program \"postgres\". HINT: set bindir in the section [server] of 2warm.toml"
    )]
    NotFound,
}

/// Where to look for the `postgres` program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerProgram {
    /// The directory of PostgreSQL's programs, if it is configured.
    pub bindir: Option<PathBuf>,
    /// The directories to search otherwise, as in `PATH`. The last resort is Debian's layout.
    pub search_path: Option<OsString>,
}

impl ServerProgram {
    /// The major version of the server of a data directory: that of its `PG_VERSION`, or, while the directory
    /// is empty, of the program.
    pub(crate) fn major_of(&self, data_directory: &Path) -> Result<PgMajor, ServerVersionError> {
        if let Some(major) = major_version(data_directory)? {
            return Ok(major);
        }
        if let Some(bindir) = &self.bindir {
            return version_of(&bindir.join("postgres"));
        }
        let on_path = self.search_path.as_ref().and_then(|path| {
            let programs = std::env::split_paths(path).map(|directory| directory.join("postgres"));
            programs.into_iter().find(|program| program.is_file())
        });
        match on_path {
            Some(program) => version_of(&program),
            None => newest_in(Path::new(DEBIAN)).ok_or(ServerVersionError::NotFound),
        }
    }
}

fn newest_in(directory: &Path) -> Option<PgMajor> {
    let majors = fs::read_dir(directory).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let major = entry.file_name().to_str()?.parse::<PgMajor>().ok()?;
        entry.path().join("bin/postgres").is_file().then_some(major)
    });
    majors.max()
}

fn version_of(program: &Path) -> Result<PgMajor, ServerVersionError> {
    let problem = |problem| ServerVersionError::Program { program: program.into(), problem };
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|e| problem(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    major_in(&text).ok_or_else(|| problem(format!("unexpected output \"{text}\"")))
}

/// From `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`, `9.6.24`, `17beta1`.
fn major_in(text: &str) -> Option<PgMajor> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let first = numbers.next()?;
    first.parse().ok().or_else(|| format!("{first}.{}", numbers.next()?).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        let cases = [
            ("postgres (PostgreSQL) 15.4 (Debian 15.4-1.pgdg)", Some("15")),
            ("postgres (PostgreSQL) 9.6.24", Some("9.6")),
            ("postgres (PostgreSQL) 8.2.23", Some("8.2")),
            ("postgres (PostgreSQL) 17beta1", Some("17")),
            ("bash 5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(major_in(text).map(|m| m.to_string()).as_deref(), expected, "{text}");
        }
    }
}
