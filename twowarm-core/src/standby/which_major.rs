use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data_directory::{IdentityError, major_version};
use crate::node::{Install, InstallError};
use crate::version::PgMajor;

/// Where Debian and its kin put each major's programs.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The server's version can't be found out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum UnknownMajor {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{} does not say its version: {problem}", program.display())]
    Program { program: PathBuf, problem: String },
    #[error("no PostgreSQL was found: set bindir under [server] in {}", .0.display())]
    NotFound(PathBuf),
}

/// The major version that this node's data directory is, or will be: by its `PG_VERSION`; while it is
/// empty by the `postgres` program in `[server] bindir`, on PATH, or where Debian has it.
pub fn which_major(install: &Install) -> Result<PgMajor, UnknownMajor> {
    if let Some(major) = major_version(install.require_pgdata()?)? {
        return Ok(major);
    }
    if let Some(bindir) = &install.settings.server.bindir {
        return version_of(&bindir.join("postgres"));
    }
    let on_path = install.variable("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|d| d.join("postgres")).find(|program| program.is_file())
    });
    if let Some(program) = on_path {
        return version_of(&program);
    }
    let newest = newest_in(Path::new(DEBIAN));
    newest.ok_or_else(|| UnknownMajor::NotFound(install.local().join("2warm.toml")))
}

fn newest_in(directory: &Path) -> Option<PgMajor> {
    let majors = fs::read_dir(directory).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let major = entry.file_name().to_str()?.parse::<PgMajor>().ok()?;
        entry.path().join("bin/postgres").is_file().then_some(major)
    });
    majors.max()
}

fn version_of(program: &Path) -> Result<PgMajor, UnknownMajor> {
    let problem = |problem| UnknownMajor::Program { program: program.into(), problem };
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|e| problem(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    major_in(&said).ok_or_else(|| problem(format!("it says \"{said}\"")))
}

/// From `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`, `9.6.24`, `17beta1`.
fn major_in(said: &str) -> Option<PgMajor> {
    let version = said.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
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
        for (said, expected) in cases {
            assert_eq!(major_in(said).map(|m| m.to_string()).as_deref(), expected, "{said}");
        }
    }
}
