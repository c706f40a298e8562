use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::data_directory::STATE_PREFIX;
use crate::file_error::FileError;

/// Top-level names that belong to the node, not to the cluster: neither copied nor deleted.
const OWN_NAMES: [&str; 25] = [
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

/// Directories that must exist, but whose contents are of use only to the server that wrote them.
const EMPTIED: [&str; 7] = [
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_dynshmem",
    "pg_replslot",
];

/// Temporary files in any directory. Their rules are perishable: a directory that the source no longer has
/// is deleted even if it contains some.
const TEMPORARY_FILES: [&str; 2] = ["pgsql_tmp*", "pg_internal.init*"];

/// Temporary tables, in the directory of a database.
const TEMPORARY_TABLES: &str = "t[0-9]*_[0-9]*";

/// What is copied from a data directory, as filter rules of rsync. Paths that are left out are not deleted
/// on the other node either.
#[derive(Debug, Clone, Default)]
pub(super) struct DataRules {
    /// Paths relative to the data directory that belong to the source's or the target's node: archives,
    /// logs, configuration files, and tablespaces inside the data directory.
    pub own_paths: Vec<PathBuf>,
    /// Files of unlogged tables, relative to the data directory.
    pub unlogged: Vec<String>,
}

impl DataRules {
    /// The rules, one per line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut leave_out = |pattern: &str| text.push_str(&format!("- {pattern}\n"));
        OWN_NAMES.into_iter().for_each(&mut leave_out);
        leave_out(&format!("/{STATE_PREFIX}*"));
        EMPTIED.iter().for_each(|directory| leave_out(&format!("/{directory}/*")));
        for path in &self.own_paths {
            leave_out(&format!("/{}", literal(&path.display().to_string())));
        }
        text + &temporary(&format!("/base/*/{TEMPORARY_TABLES}"), &self.unlogged)
    }
}

/// The rules for the directory of one version in a tablespace, `prefix`/ its path below the anchor or empty.
pub(super) fn tablespace_rules(prefix: &str, unlogged: &[String]) -> String {
    temporary(&format!("/{prefix}*/{TEMPORARY_TABLES}"), unlogged)
}

/// The rules for a whole tablespace, as used before 9.0. Files that are not part of it are neither copied nor
/// deleted.
pub(super) fn whole_tablespace_rules() -> String {
    temporary(&format!("/*/{TEMPORARY_TABLES}"), &[]) + "+ /PG_VERSION\n+ /[0-9]*\n- /*\n"
}

fn temporary(tables: &str, unlogged: &[String]) -> String {
    let everywhere =
        TEMPORARY_FILES.into_iter().chain([tables]).map(|pattern| format!("-p {pattern}\n"));
    let files = unlogged.iter().map(|pattern| format!("-p /{pattern}\n"));
    everywhere.chain(files).collect()
}

/// The path as a pattern that matches only itself. In a pattern without wildcards, rsync takes a backslash
/// literally.
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

/// Patterns for the files of unlogged tables in a directory of databases (`base`, or a tablespace's): all
/// forks except `_init`, from which the server creates the others. `prefix` is the path of the directory,
/// ending in a slash, or empty.
pub(super) fn unlogged_files(directory: &Path, prefix: &str) -> Result<Vec<String>, FileError> {
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
        // A database may be dropped meanwhile.
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
    fn other_files_in_a_tablespace_before_9_0_are_left_alone() {
        let text = whole_tablespace_rules();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - 3..], ["+ /PG_VERSION", "+ /[0-9]*", "- /*"]);
        assert!(lines.contains(&"-p pgsql_tmp*"));
    }

    #[test]
    fn only_the_init_fork_of_unlogged_tables_is_copied() {
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
