use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::data_directory::STATE_PREFIX;
use crate::file_error::FileError;

/// At the top of a data directory and the node's own: neither copied nor deleted.
const NODES_OWN: [&str; 25] = [
    "/pg_wal",
    "/pg_xlog",
    "/archive",
    "/trigger",
    "/promote",
    "/fallback_promote",
    "/recovery.conf",
    "/recovery.done",
    "/*.signal",
    "/postmaster.pid",
    "/postmaster.opts",
    "/backup_label",
    "/backup_label.old",
    "/tablespace_map",
    "/tablespace_map.old",
    "/backup_manifest",
    "/postgresql.auto.conf.tmp",
    "/current_logfiles",
    "/current_logfiles.tmp",
    "/log",
    "/pg_log",
    "/logfile",
    "/lost+found",
    "/global/pg_control",
    "/pg_tblspc/*",
];

/// Directories that must be there, but whose contents mean something only to the server that wrote them.
const EMPTIED: [&str; 7] = [
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_dynshmem",
    "pg_replslot",
];

/// Anywhere, and of no use to another server. They don't keep a directory from being deleted that the
/// source no longer has.
const PASSING: [&str; 2] = ["pgsql_tmp*", "pg_internal.init*"];

/// Temporary tables, in the directory of a database.
const TEMPORARY: &str = "t[0-9]*_[0-9]*";

/// What of a data directory is copied, as rsync's filter rules. A path that is left out is left alone on
/// the far side too.
#[derive(Debug, Clone, Default)]
pub struct DataRules {
    /// Paths relative to the data directory that are the source's or the target's own: archives, logs,
    /// configuration files, tablespaces that lie inside.
    pub own_paths: Vec<PathBuf>,
    /// Files of unlogged tables, relative to the data directory.
    pub unlogged: Vec<String>,
}

impl DataRules {
    /// The rules, a line each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut leave = |pattern: &str| text.push_str(&format!("- {pattern}\n"));
        NODES_OWN.into_iter().for_each(&mut leave);
        leave(&format!("/{STATE_PREFIX}*"));
        EMPTIED.iter().for_each(|directory| leave(&format!("/{directory}/*")));
        for path in &self.own_paths {
            leave(&format!("/{}", literal(&path.display().to_string())));
        }
        text + &passing(&format!("/base/*/{TEMPORARY}"), &self.unlogged)
    }
}

/// The rules for the version's own directory of a tablespace.
pub fn tablespace_rules(unlogged: &[String]) -> String {
    passing(&format!("/*/{TEMPORARY}"), unlogged)
}

/// The rules for the whole of a tablespace, as it is before 9.0. What is not PostgreSQL's there is neither
/// copied nor deleted.
pub fn whole_tablespace_rules() -> String {
    passing(&format!("/*/{TEMPORARY}"), &[]) + "+ /PG_VERSION\n+ /[0-9]*\n- /*\n"
}

fn passing(temporary: &str, unlogged: &[String]) -> String {
    let everywhere =
        PASSING.into_iter().chain([temporary]).map(|pattern| format!("-p {pattern}\n"));
    let files = unlogged.iter().map(|pattern| format!("-p /{pattern}\n"));
    everywhere.chain(files).collect()
}

/// A path in which no character is a pattern. Without one, rsync takes a backslash for itself.
fn literal(path: &str) -> String {
    if !path.contains(['*', '?', '[']) {
        return path.to_owned();
    }
    let mut text = String::new();
    for c in path.chars() {
        if "*?[\\".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Patterns for the files of unlogged tables in a directory of databases (`base`, or a tablespace's):
/// all but the empty `_init` fork, from which the server makes them anew. `prefix` is the directory's
/// own path, ending in a slash or empty.
pub fn unlogged_files(directory: &Path, prefix: &str) -> Result<Vec<String>, FileError> {
    let mut patterns = Vec::new();
    for database in names(directory)? {
        if !database.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let files = names(&directory.join(&database))?;
        let relations = files.iter().filter_map(|name| name.strip_suffix("_init"));
        for relation in relations.filter(|r| r.bytes().all(|b| b.is_ascii_digit())) {
            let base = format!("{prefix}{database}/{relation}");
            let forks = ["", ".[0-9]*", "_fsm", "_fsm.[0-9]*", "_vm", "_vm.[0-9]*"];
            patterns.extend(forks.iter().map(|fork| format!("{base}{fork}")));
        }
    }
    Ok(patterns)
}

fn names(directory: &Path) -> Result<BTreeSet<String>, FileError> {
    let listed = fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    });
    match listed {
        // A database may be dropped while we look.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(BTreeSet::new())
        }
        other => other.map_err(FileError::of("list", directory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_anchored_and_literal() {
        let rules = DataRules {
            own_paths: vec!["in/archive".into(), "odd[1]*".into(), "back\\slash".into()],
            unlogged: Vec::new(),
        };
        let text = rules.text();
        for line in [
            "- /pg_wal\n",
            "- /archive\n",
            "- /lost+found\n",
            "- /*.signal\n",
            "- /.twowarm*\n",
            "- /in/archive\n",
            "- /odd\\[1]\\*\n",
            "- /back\\slash\n",
            "- /pg_replslot/*\n",
            "-p pg_internal.init*\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!DataRules::default().text().contains("postgresql.conf\n"));
        assert!(text.lines().all(|line| line.starts_with("- /") || line.starts_with("-p ")));
    }

    #[test]
    fn beside_an_old_tablespace_nothing_is_touched() {
        let text = whole_tablespace_rules();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - 3..], ["+ /PG_VERSION", "+ /[0-9]*", "- /*"]);
        assert!(lines.contains(&"-p pgsql_tmp*"));
    }

    #[test]
    fn all_forks_of_unlogged_tables_but_the_first_stay_behind() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        fs::create_dir_all(base.join("5")).unwrap();
        fs::create_dir_all(base.join("pgsql_tmp")).unwrap();
        for name in ["16384", "16384_init", "16384.1", "16385", "x_init"] {
            fs::write(base.join("5").join(name), "").unwrap();
        }
        let patterns = unlogged_files(&base, "base/").unwrap();
        assert_eq!(patterns.len(), 6);
        assert_eq!(&patterns[..3], ["base/5/16384", "base/5/16384.[0-9]*", "base/5/16384_fsm"]);
        assert_eq!(unlogged_files(Path::new("/nowhere/at/all"), "").unwrap(), [""; 0]);
    }
}
