//! An archive that is mounted on the primary.

use std::fs;

use crate::pair::{ONE, Pair, said};

#[test]
fn an_unmounted_archive_is_noticed() {
    let pair = Pair::by("local");
    fs::remove_file(pair.archived(".archive")).unwrap();
    pair.fails(&pair.send(), 1, &["has no file \".archive\"", "mount the disk"]);
    pair.db2.run_as().write(&pair.archived(".archive"), "").unwrap();
    pair.arrives();
    let disk = pair.db2.archive().with_extension("disk");
    fs::rename(pair.db2.archive(), &disk).unwrap();
    pair.db2.run_as().make_dir(&pair.db2.archive(), 0o700).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused", "archive directory", "mount its disk"]);
    fs::remove_dir(pair.db2.archive()).unwrap();
    pair.fails(&pair.send(), 1, &["archive", "does not exist"]);
    fs::rename(&disk, pair.db2.archive()).unwrap();
    let again = pair.send();
    assert!(again.status.success() && said(&again).contains("already"), "{}", said(&again));
}

/// The mark that configStandby has made on db2 is kept: db2's own commands check it.
#[test]
fn the_mark_of_the_other_node_is_kept() {
    let pair = Pair::by("local");
    pair.db2.run_as().write(&pair.archived(".archive"), "0123456789abcdef\n").unwrap();
    pair.arrives();
    assert_eq!(fs::read_to_string(pair.archived(".archive")).unwrap(), "0123456789abcdef\n");
    let stored = pair.db1.local().join("replication/carrier/db2/archive_id");
    assert_eq!(fs::read_to_string(stored).unwrap(), "0123456789abcdef\n");
}

#[test]
fn the_archive_of_this_node_and_another_sender_are_refused() {
    let pair = Pair::by("local");
    pair.arrives();
    fs::remove_file(pair.db1.local().join("replication/node_id")).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("configStandby"), "{}", said(&output));

    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    pair.db1.run_as().make_dir(&pair.db1.archive(), 0o700).unwrap();
    let own = pair.db1.home().join("own");
    std::os::unix::fs::symlink(pair.db1.archive(), &own).unwrap();
    let there = format!("archive = \"{}\"", pair.db2.archive().display());
    let here = format!("archive = \"{}\"", own.display());
    pair.db1.write_local("2warm.toml", settings.replace(&there, &here)).unwrap();
    let output = pair.send();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is the archive of this node, not of db2"), "{text}");
    assert!(!pair.db1.archive().join(ONE).exists());
}
