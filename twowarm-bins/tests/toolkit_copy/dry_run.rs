use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use twowarm_core::testbed::{Node, StopMode};

use crate::copies::{Trio, takes_backups_of_standbys};
use crate::pair::{Pair, succeeds};

/// All files below a directory: size, time of the last change, and content of small ones.
type Listing = BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)>;

fn listing(top: &Path) -> Listing {
    let mut found = Listing::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                directories.push(path.clone());
                found.insert(path, (0, SystemTime::UNIX_EPOCH, Vec::new()));
            } else {
                let content =
                    if metadata.len() < 100_000 { fs::read(&path) } else { Ok(Vec::new()) };
                let modified = metadata.modified().unwrap();
                found.insert(path, (metadata.len(), modified, content.unwrap_or_default()));
            }
        }
    }
    found
}

type Both = (Listing, Listing, Vec<PathBuf>);

fn is_same(before: &Both, after: &Both) {
    let differs = |a: &Listing, b: &Listing| -> Vec<PathBuf> {
        a.iter()
            .filter(|(path, found)| b.get(*path) != Some(found))
            .map(|(p, _)| p.clone())
            .collect()
    };
    for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
        assert_eq!(differs(before, after), [""; 0].map(PathBuf::from));
        assert_eq!(differs(after, before), [""; 0].map(PathBuf::from));
    }
    assert_eq!(before.2, after.2);
}

/// The files of a stopped node, and those of the source that its server does not change.
fn both(source: &Node, target: &Node) -> Both {
    let names = listing(&source.pgdata()).into_keys();
    // The server adds and removes these.
    let is_stable = |path: &PathBuf| {
        let text = path.to_string_lossy();
        !["pg_wal", "pg_xlog", "pg_stat", "archive/", "pg_logical"]
            .iter()
            .any(|part| text.contains(part))
    };
    let tree = source.pgroot().join("2warm");
    let mut tree = listing(&tree);
    // The socket of the process that ships ahead.
    tree.retain(|path, _| !path.ends_with("look_ahead"));
    (listing(&target.pgroot()), tree, names.filter(is_stable).collect())
}

fn dry(node: &Node, name: &str) -> Command {
    let mut command = node.command(name);
    command.arg("--dry-run");
    command
}

#[test]
fn a_dry_run_says_what_a_copy_would_do_and_does_nothing() {
    let pair = Pair::new();
    pair.fill("first", 1000);
    succeeds(pair.db2.command("configStandby"));
    let before = both(&pair.db1, &pair.db2);
    let said = succeeds(dry(&pair.db1, "copyToStandby"));
    assert!(said.contains(" files would be created and ") && said.contains("dry run"), "{said}");
    assert!(!said.contains("begins in WAL file"), "{said}");
    is_same(&before, &both(&pair.db1, &pair.db2));
    assert!(!pair.db1.local().join("replication/archiving_active").exists());

    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("first", 1000);
    pair.db2.stop(StopMode::Fast).unwrap();
    pair.fill("second", 1000);
    pair.db1.sql("checkpoint").unwrap();
    pair.db2.run_as().write(&pair.db2.pgdata().join("dump.sql"), "theirs").unwrap();
    pair.db2.run_as().write(&pair.db2.pgdata().join("base/1/99999"), "old").unwrap();
    let before = both(&pair.db1, &pair.db2);
    // It asks nothing, although a file would be lost.
    let said = succeeds(dry(&pair.db1, "copyToStandby"));
    for part in ["would be lost: deleted: dump.sql", " deleted: dump.sql, ", "base/1/99999"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    is_same(&before, &both(&pair.db1, &pair.db2));
}

#[test]
fn a_dry_run_from_the_standby_to_the_dr_node_changes_nothing() {
    let trio = Trio::new();
    let standby = takes_backups_of_standbys(&trio.pair.db2).then_some(&trio.pair.db2);
    for source in std::iter::once(&trio.pair.db1).chain(standby) {
        let before = both(source, &trio.db3);
        let said = succeeds(dry(source, "copyToDR"));
        assert!(said.contains("db3:") && said.contains("would be created"), "{said}");
        is_same(&before, &both(source, &trio.db3));
    }
}
