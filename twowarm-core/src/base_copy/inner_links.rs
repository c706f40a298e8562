use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::data_directory::STATE_PREFIX;
use crate::file_error::FileError;

/// Top-level names that are not copied: these may be symbolic links.
const LEFT_OUT: [&str; 6] = ["pg_wal", "pg_xlog", "pg_tblspc", "archive", "log", "pg_log"];

/// The symbolic links in a data directory that would be copied as links although they point to a part of
/// the cluster; their paths relative to the directory, sorted. On the other node they would point to
/// nothing, or to files that are not part of the copy.
///
/// A link to a file is allowed outside PostgreSQL's own directories: configuration, certificates.
/// `left_out` are relative paths that are not copied.
pub(super) fn links_inside(pgdata: &Path, left_out: &[PathBuf]) -> Result<Vec<PathBuf>, FileError> {
    let is_left_out = |path: &Path| {
        let name = path.to_string_lossy();
        LEFT_OUT.contains(&name.as_ref())
            || name.starts_with(STATE_PREFIX)
            || left_out.iter().any(|left| left == path)
    };
    links(pgdata, &is_left_out, &is_of_cluster)
}

/// The same for a tablespace directory, in which no links are allowed.
pub(super) fn links_inside_tablespace(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    links(directory, &|_| false, &|_| true)
}

/// Whether a path in a data directory is part of the cluster, not configuration.
fn is_of_cluster(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let top = parts.next().unwrap_or_default();
    let inside = parts.next().is_some();
    (inside && (top == "base" || top == "global" || top.starts_with("pg_"))) || top == "PG_VERSION"
}

fn links(
    top: &Path,
    is_left_out: &dyn Fn(&Path) -> bool,
    is_of_cluster: &dyn Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(relative) = directories.pop() {
        let directory = top.join(&relative);
        let listed =
            fs::read_dir(&directory).and_then(|all| all.collect::<Result<Vec<_>, io::Error>>());
        let entries = match listed {
            Ok(entries) => entries,
            // A running server removes directories.
            Err(e) if e.kind() == io::ErrorKind::NotFound && directory != top => continue,
            Err(e) => return Err(FileError::of("list", &directory)(e)),
        };
        for entry in entries {
            let path = relative.join(entry.file_name());
            if is_left_out(&path) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_symlink() && (is_of_cluster(&path) || !entry.path().is_file()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_part_of_the_cluster_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("f"), "").unwrap();
        for directory in ["base/5", "pg_tblspc", "conf.d", "global", ".twowarm-x"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for link in ["pg_wal", "archive", "logs", "pg_tblspc/16384", "pg_xact", "base/6"] {
            symlink(elsewhere.path(), at(link)).unwrap();
        }
        for link in ["postgresql.conf", "conf.d/a.conf", "base/5/1259", ".twowarm-x/y"] {
            symlink(elsewhere.path().join("f"), at(link)).unwrap();
        }
        let found = links_inside(dir.path(), &["logs".into()]).unwrap();
        assert_eq!(found, ["base/5/1259", "base/6", "pg_xact"].map(PathBuf::from));
        let found = links_inside_tablespace(&at("conf.d")).unwrap();
        assert_eq!(found, [PathBuf::from("a.conf")]);
    }
}
