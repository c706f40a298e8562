//! The programs that are compared.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// Where they are.
pub struct Programs {
    /// Ours.
    pub pg_standby: PathBuf,
    /// The directory of 2warm's commands.
    pub commands: PathBuf,
    /// Only copies.
    pub copy_only: PathBuf,
    /// contrib's, where there is one.
    pub original: Option<PathBuf>,
}

impl Programs {
    /// Builds ours as a user would: each package by itself, so that none gets another's features.
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

    /// Ours and the original, each with the arguments.
    pub fn both(&self) -> Vec<(&'static str, &Path)> {
        let original = self.original.as_deref().map(|path| ("the C program", path));
        [Some(("ours", self.pg_standby.as_path())), original].into_iter().flatten().collect()
    }
}

fn original() -> Option<PathBuf> {
    if let Some(named) = env::var_os("PG_STANDBY_ORIGINAL") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join("pg_standby")).find(|p| p.is_file())
}
