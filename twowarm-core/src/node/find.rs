//! Finding the 2warm tree of a node, and reading its files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::pgdata::Sources;
use super::{Caller, Environment, Install, InstallError, Invocation, Settings};
use crate::file_error::FileError;
use crate::identifiers::NodeName;

impl Install {
    /// Finds the installation by how the command was called, and reads all its files.
    ///
    /// `2warm` may be a symbolic link. PGROOT is then the directory that contains the link, or, if
    /// `environment.sh` is right only for the directory that the link leads to (`PGDATA=$PGROOT/data/15`), that one.
    ///
    /// # Errors
    /// If there is no 2warm tree, or one of its files is invalid or can't be read.
    pub fn find(invocation: &Invocation, caller: Caller) -> Result<Install, InstallError> {
        let named = invocation.pgroot();
        let found = Install::find_in(named.clone(), invocation, caller);
        let fits = match &found {
            Ok(install) => install.pgdata.as_ref().is_none_or(|pgdata| pgdata.is_dir()),
            Err(error) => !matches!(error, InstallError::AnotherCluster { .. }),
        };
        match linked_root(&named) {
            Some(real) if !fits => match Install::find_in(real, invocation, caller) {
                Ok(install) if install.pgdata.as_ref().is_some_and(|pgdata| pgdata.is_dir()) => {
                    Ok(install)
                }
                _ => found,
            },
            _ => found,
        }
    }

    fn find_in(
        pgroot: PathBuf,
        invocation: &Invocation,
        caller: Caller,
    ) -> Result<Install, InstallError> {
        let tree = pgroot.join("2warm");
        match fs::metadata(&tree) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(InstallError::NoTree(tree)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(InstallError::NoTree(tree));
            }
            Err(e) => return Err(FileError::of("read", &tree)(e).into()),
        }
        let local = tree.join("local");
        let outer = |name: &str| set_before(name, &pgroot, &local, invocation);
        let environment = read_parsed(&local.join("environment.sh"), |text, path| {
            let read = Environment::parse(text, &outer).and_then(|environment| {
                environment.require(&["PGDATA", "ARCHIVE", "OTHERNODE", "DRNODE"])?;
                Ok(environment)
            });
            read.map_err(|error| InstallError::Environment { path, error })
        })?
        .unwrap_or_default();
        let settings = read_parsed(&local.join("2warm.toml"), |text, path| {
            Settings::parse(text).map_err(|error| InstallError::Settings { path, error })
        })?
        .unwrap_or_default();
        let sources = Sources {
            invocation,
            caller,
            environment: &environment,
            pgroot: &pgroot,
            local: &local,
        };
        let (pgdata, pgdata_named_by) = sources.find()?.unzip();
        let archive = environment.get("ARCHIVE").map(PathBuf::from);
        let archive = archive
            .or_else(|| settings.archive.directory.clone())
            .or_else(|| Some(pgdata.as_ref()?.join("archive")));
        let source = |variable: &str, file: &str| match environment.get(variable) {
            Some(_) => local.join("environment.sh"),
            None => local.join("replication").join(file),
        };
        let node = |variable: &str, file: &str| match environment.get(variable) {
            Some(name) => parse_node(name, &source(variable, file)),
            None => read_node(&source(variable, file)),
        };
        let (other_node, dr_node) = (node("OTHERNODE", "othernode")?, node("DRNODE", "drnode")?);
        // It would be relayed to the node that has it already, and nothing would be removed from the archive.
        let is_same = dr_node.is_some() && dr_node == other_node;
        let same_nodes =
            is_same.then(|| [source("OTHERNODE", "othernode"), source("DRNODE", "drnode")]);
        Ok(Install {
            pgroot,
            pgdata,
            pgdata_named_by,
            archive,
            other_node,
            dr_node: dr_node.filter(|_| !is_same),
            same_nodes,
            environment,
            settings,
        })
    }
}

/// The parent of the directory that `2warm` leads to, if it is a symbolic link.
fn linked_root(pgroot: &Path) -> Option<PathBuf> {
    let tree = fs::canonicalize(pgroot.join("2warm")).ok()?;
    let root = tree.parent()?;
    let is_other = fs::canonicalize(pgroot).is_ok_and(|pgroot| pgroot != root);
    (is_other && tree.ends_with("2warm")).then(|| root.to_owned())
}

/// The value of a variable when 2warm's scripts source `environment.sh`.
fn set_before(name: &str, pgroot: &Path, local: &Path, invocation: &Invocation) -> Option<String> {
    let node = |file: &str| match fs::read_to_string(local.join("replication").join(file)) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) => (e.kind() == io::ErrorKind::NotFound).then(String::new),
    };
    let path = |path: &Path| path.to_str().map(str::to_owned);
    match name {
        "PGROOT" => path(pgroot),
        "GLOBAL" => path(&pgroot.join("2warm/global/")),
        "LOCAL" => path(&local.join("")),
        "OTHERNODE" => node("othernode"),
        "DRNODE" => node("drnode"),
        _ => invocation.environment.get(OsStr::new(name))?.to_str().map(str::to_owned),
    }
}

/// Reads and parses an optional file of `local` or `local/replication`. `None` only if its directory exists: if a
/// disk is not mounted or a link is broken, the settings are unknown, not at their defaults.
fn read_parsed<T>(
    path: &Path,
    parse: impl FnOnce(&str, PathBuf) -> Result<T, InstallError>,
) -> Result<Option<T>, InstallError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path.to_owned()).map(Some),
        // A broken link is an error.
        Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            let directory = path.parent().unwrap_or(path);
            match fs::read_dir(directory) {
                Ok(_) => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    Err(InstallError::NoLocal(directory.to_owned()))
                }
                Err(e) => Err(FileError::of("read", directory)(e).into()),
            }
        }
        Err(e) => Err(FileError::of("read", path)(e).into()),
    }
}

fn read_node(path: &Path) -> Result<Option<NodeName>, InstallError> {
    Ok(read_parsed(path, |text, _| parse_node(text.trim(), path))?.flatten())
}

fn parse_node(name: &str, path: &Path) -> Result<Option<NodeName>, InstallError> {
    if name.is_empty() {
        return Ok(None);
    }
    let parsed =
        name.parse().map_err(|error| InstallError::NodeName { path: path.into(), error })?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::retry::Retryable;

    fn find(pgroot: &Path) -> Result<Install, InstallError> {
        let call = Invocation {
            command: pgroot.join("2warm/global/replication/configSetup").into(),
            environment: Default::default(),
            working_directory: pgroot.to_owned(),
        };
        Install::find(&call, Caller::Person)
    }

    /// If the disk of `local` was not mounted, every setting had its default.
    #[test]
    fn a_file_is_absent_only_if_its_directory_exists() {
        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("2warm/local");
        fs::create_dir_all(dir.path().join("2warm/global")).unwrap();
        let missing = |expected: &Path| match find(dir.path()).unwrap_err() {
            InstallError::NoLocal(path) => assert_eq!(path, expected),
            other => panic!("{other}"),
        };
        missing(&local);
        symlink("disk", &local).unwrap();
        missing(&local);
        fs::create_dir(dir.path().join("2warm/disk")).unwrap();
        missing(&local.join("replication"));
        fs::create_dir(local.join("replication")).unwrap();
        assert_eq!(find(dir.path()).unwrap().other_node, None);
        symlink("nowhere", local.join("replication/drnode")).unwrap();
        let error = find(dir.path()).unwrap_err();
        assert!(matches!(error, InstallError::File(_)) && !error.is_retryable(), "{error}");
        fs::write(local.join("replication/nowhere"), "db3\n").unwrap();
        assert_eq!(find(dir.path()).unwrap().dr_node.unwrap().to_string(), "db3");
    }

    #[test]
    fn the_error_for_an_invalid_node_id_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let replication = dir.path().join("2warm/local/replication");
        fs::create_dir_all(&replication).unwrap();
        fs::create_dir_all(dir.path().join("2warm/global")).unwrap();
        let install = find(dir.path()).unwrap();
        let made = install.node_id().unwrap();
        assert_eq!(install.node_id().unwrap(), made);
        let file = replication.join("node_id");
        for invalid in [b"a b\n".as_slice(), b"x\r\ry", b"\xff\xfe", &[b'a'; 65]] {
            fs::write(&file, invalid).unwrap();
            let error = install.node_id().unwrap_err();
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
            assert!(!error.is_retryable());
        }
        // Zeros after a crash are invalid; an empty file is replaced.
        fs::write(&file, [0; 32]).unwrap();
        install.node_id().unwrap_err();
        fs::write(&file, b"").unwrap();
        assert_ne!(install.node_id().unwrap(), made);
    }

    #[test]
    fn only_an_io_error_is_retryable() {
        let of = |kind: io::ErrorKind| {
            InstallError::from(FileError::of("read", Path::new("x"))(io::Error::from(kind)))
        };
        assert!(of(io::ErrorKind::StaleNetworkFileHandle).is_retryable());
        assert!(!of(io::ErrorKind::NotFound).is_retryable());
        assert!(!InstallError::NoLocal("x".into()).is_retryable());
    }

    #[test]
    fn a_dr_node_that_is_the_other_node_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let replication = dir.path().join("2warm/local/replication");
        fs::create_dir_all(&replication).unwrap();
        fs::create_dir_all(dir.path().join("2warm/global")).unwrap();
        let files = ["othernode", "drnode"].map(|name| replication.join(name));
        files.iter().for_each(|file| fs::write(file, "db2\n").unwrap());
        let install = find(dir.path()).unwrap();
        assert_eq!((install.dr_node, install.same_nodes), (None, Some(files.clone())));
        let environment = dir.path().join("2warm/local/environment.sh");
        fs::write(&environment, "DRNODE=db2\n").unwrap();
        let named_by = find(dir.path()).unwrap().same_nodes;
        assert_eq!(named_by, Some([files[0].clone(), environment.clone()]));
        fs::write(&environment, "DRNODE=db3\n").unwrap();
        let install = find(dir.path()).unwrap();
        assert!(install.dr_node.is_some() && install.same_nodes.is_none());
    }
}
