use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BedError, finish};

/// Directories of system programs that an ordinary user's PATH often lacks.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The full path of a program in PATH or the system directories. The error names the Debian package. The path is
/// absolute because sshd executes itself by it.
pub(super) fn find(name: &str, package: &str) -> Result<PathBuf, BedError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_absolute() && is_program(file))
        .ok_or_else(|| BedError(format!("{name} was not found: install {package}")))
}

/// An example of this crate as a program. cargo builds examples before it runs all tests, but not if it is asked for
/// one of them.
pub fn example(name: &str) -> Result<PathBuf, BedError> {
    let test = env::current_exe().map_err(|e| BedError(format!("the test has no path: {e}")))?;
    // Tests are in target/PROFILE/deps.
    let built = test.ancestors().nth(2).unwrap_or(Path::new("/"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--all-features", "--example", name, "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    cargo.arg("--target-dir").arg(built.parent().unwrap_or(built));
    if built.ends_with("release") {
        cargo.arg("--release");
    }
    finish(&mut cargo)?;
    Ok(built.join("examples").join(name))
}

/// Whether this is an executable file.
pub(super) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
