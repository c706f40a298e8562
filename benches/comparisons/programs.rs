//! The programs that are compared.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// Their paths.
pub struct Programs {
    /// twowarm's pg_standby.
    pub pg_standby: PathBuf,
    /// The directory of the 2warm commands.
    pub commands: PathBuf,
    /// The program that only copies.
    pub copy_only: PathBuf,
    /// The C pg_standby, if there is one.
    pub original: Option<PathBuf>,
}

impl Programs {
    /// Builds twowarm's programs as a user would: each package separately, so that none gets the features of another.
    pub fn build() -> Outcome<Programs> {
        let own = env::current_exe()?;
        let release = own.ancestors().nth(2).ok_or("cargo bench did not build this")?;
        let target = release.parent().ok_or("cargo bench did not build this")?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        for package in ["twowarm-pgstandby", "twowarm-bins"] {
            let mut build = Command::new(&cargo);
            build.args(["build", "--release", "--quiet", "-p", package, "--target-dir"]);
            build.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
            if !build.status()?.success() {
                return Err(format!("{package} was not built").into());
            }
        }
        Ok(Programs {
            pg_standby: release.join("pg_standby"),
            commands: release.to_owned(),
            copy_only: env!("CARGO_BIN_EXE_copy_only").into(),
            original: original(),
        })
    }

    /// twowarm's and the C pg_standby, with their names in the table.
    pub fn both(&self) -> Vec<(&'static str, &Path)> {
        let original = self.original.as_deref().map(|path| ("the C program", path));
        [Some(("twowarm", self.pg_standby.as_path())), original].into_iter().flatten().collect()
    }
}

fn original() -> Option<PathBuf> {
    if let Some(named) = env::var_os("PG_STANDBY_ORIGINAL") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join("pg_standby")).find(|p| p.is_file())
}
