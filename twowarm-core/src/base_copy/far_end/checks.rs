use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CopyTarget, FarEndError};
use crate::archive::check_mark;
use crate::base_copy::{Nonce, Survey, Target};
use crate::data_directory::own_tablespaces;
use crate::data_directory::{
    CONFIGURATION, DirectoryContents, server_configuration, server_settings,
};
use crate::file_error::FileError;
use crate::server::runs_without_pid_file;
use crate::ship::wire::{Hello, RefusalCode};
use crate::version::PgMajor;

/// Fails unless the copy may overwrite the node's data directory. Returns what the near end must know
/// about it.
pub(super) fn check(
    node: &CopyTarget,
    hello: &Hello,
    survey: &Survey,
) -> Result<Target, FarEndError> {
    let (pgdata, archive) = (node.data_directory.as_path(), node.archive.as_path());
    let found = DirectoryContents::read(pgdata)?;
    let real = pgdata.canonicalize().map_err(FileError::of("find", pgdata))?;
    let inside = |path: &Path| -> Option<PathBuf> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        path.strip_prefix(&real).ok().filter(|p| !p.as_os_str().is_empty()).map(Path::to_owned)
    };
    let archive_inside = inside(archive);
    let archive_name = archive_inside.as_ref().and_then(|path| path.iter().next()?.to_str());
    found.may_be_overwritten(hello.system_identifier, archive_name)?;
    if runs_without_pid_file(pgdata, &node.login) {
        let message = format!(
            "a server is running in \"{}\" without a postmaster.pid. HINT: stop it",
            pgdata.display()
        );
        return Err(FarEndError::refusal(RefusalCode::CONFIGURATION, message));
    }
    if !archive.is_dir() {
        let message = format!(
            "archive directory \"{}\" does not exist. HINT: run configStandby there",
            archive.display()
        );
        return Err(FarEndError::refusal(RefusalCode::ARCHIVE, message));
    }
    check_mark(archive, &node.local_replication)
        .map_err(|e| FarEndError::refusal(RefusalCode::ARCHIVE, e.to_string()))?;
    let older_copy = found.control.is_some() || found.unfinished.is_some();
    let mut own_paths: Vec<PathBuf> = archive_inside.into_iter().collect();
    own_paths.extend(log_directory(pgdata).and_then(|path| inside(&path)));
    // If there is a pg_control, the marker is that of an earlier copy.
    let own_tablespaces =
        own_tablespaces(pgdata, found.unfinished.as_ref().filter(|_| found.control.is_none()));
    for tablespace in &survey.tablespaces {
        check_tablespace(&tablespace.to, &real, hello.major, &own_tablespaces)?;
        own_paths.extend(inside(&tablespace.to));
    }
    let is_own = |name: &&str| node.local.join(name).exists() && pgdata.join(name).exists();
    own_paths.extend(CONFIGURATION.into_iter().filter(is_own).map(PathBuf::from));
    Ok(Target { pgdata: pgdata.to_owned(), older_copy, own_paths })
}

/// Fails if the target is the source: the source's directories contain the nonce file.
pub(super) fn is_not_the_source(pgdata: &Path, survey: &Survey) -> Result<(), FarEndError> {
    Nonce::check_name(&survey.nonce)?;
    let is_source = |path: &Path| Nonce::is_in(&survey.nonce, path);
    let tablespaces = survey.tablespaces.iter().map(|t| real(&t.to));
    let targets: Vec<PathBuf> = tablespaces.chain(std::iter::once(real(pgdata))).collect();
    for directory in targets.iter().flat_map(|target| target.ancestors()) {
        if is_source(directory)? {
            return Err(itself(directory));
        }
    }
    // On the same machine, the source may also be inside a target, and the copy would delete it.
    let sources = survey.tablespaces.iter().map(|t| &t.from).chain([&survey.source]);
    for source in sources {
        let inside = targets.iter().any(|target| real(source).starts_with(target));
        if inside && is_source(source)? {
            return Err(itself(source));
        }
    }
    Ok(())
}

/// A path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match found {
        Some((above, real)) => match path.strip_prefix(above) {
            Ok(below) if !below.as_os_str().is_empty() => real.join(below),
            _ => real,
        },
        None => path.to_owned(),
    }
}

fn itself(directory: &Path) -> FarEndError {
    let message = format!(
        "\"{}\" is the source of the copy. HINT: correct othernode or drnode, PGDATA or the tablespace mapping",
        directory.display()
    );
    FarEndError::refusal(RefusalCode::SELF, message)
}

fn check_tablespace(
    to: &Path,
    pgdata: &Path,
    major: PgMajor,
    own: &BTreeSet<PathBuf>,
) -> Result<(), FarEndError> {
    let refuse = |problem: &str| {
        let message =
            format!("tablespace directory \"{}\" cannot be used: {problem}", to.display());
        Err(FarEndError::refusal(RefusalCode::CONFIGURATION, message))
    };
    let real = real(to);
    if pgdata.starts_with(&real) {
        return refuse("it contains the data directory");
    }
    if !to.parent().is_some_and(Path::is_dir) {
        return refuse(
            "its parent directory does not exist. HINT: create it, or map the tablespace to another directory",
        );
    }
    let Ok(entries) = fs::read_dir(to) else {
        return if to.exists() { refuse("it is not a readable directory") } else { Ok(()) };
    };
    let is_name_of_version = |name: &str| match major.tablespace_directory() {
        Some(beginning) => name.starts_with(&beginning),
        None => name == "PG_VERSION",
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_versions =
            path.file_name().is_some_and(|name| is_name_of_version(&name.to_string_lossy()));
        let is_used = || fs::read_dir(&path).map_or(true, |mut entries| entries.next().is_some());
        if is_versions && is_used() && !own.contains(&real) {
            return refuse(
                "it contains a tablespace of another cluster. HINT: empty it if it is not needed",
            );
        }
    }
    Ok(())
}

/// The log directory of the target's server, as set in the configuration that it will read.
fn log_directory(pgdata: &Path) -> Option<PathBuf> {
    let mut directory = None;
    server_settings(&server_configuration(pgdata)?, pgdata, &mut |name, value| {
        if name == "log_directory" {
            directory = Some(pgdata.join(value));
        }
    });
    directory
}
