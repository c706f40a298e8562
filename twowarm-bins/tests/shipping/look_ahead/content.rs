//! What is acknowledged is what is in the archive of the node that is named at the time of the call.

use std::fs;
use std::os::unix::fs::MetadataExt;

use twowarm_core::testbed::wait_until;

use super::backlog::without_server;
use crate::pair::{LIMIT, said};

#[test]
fn files_behind_the_first_are_shipped_and_acknowledged() {
    let mut waiting = without_server(6);
    let names = waiting.names.clone();
    let before = waiting.connections();
    for name in &names {
        let text = waiting.archive(name);
        assert!(text.contains("was shipped ahead"), "{name}: {text}");
    }
    assert_eq!(waiting.connections() - before, 1);
    waiting.ended();
}

/// The same file with another content, size and modification time being equal.
#[test]
fn a_file_that_was_written_again_is_not_acknowledged_from_memory() {
    let waiting = without_server(4);
    let (first, second) = (&waiting.names[0], &waiting.names[1]);
    waiting.archive(first);
    waiting.wait_until_stored(second);
    let path = waiting.wal(second);
    let before = fs::metadata(&path).unwrap();
    let mut content = fs::read(&path).unwrap();
    // In the records, which the receiver compares.
    content[9000] ^= 1;
    fs::write(&path, &content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.ino(), before.len(), before.mtime()),
        (after.ino(), after.len(), after.mtime())
    );
    let output = waiting.call(second).output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    assert!(fs::read(waiting.pair.archived(second)).unwrap() != content);
}

/// A server reuses the file of an archived segment. After its own call, nothing is remembered of a name.
#[test]
fn a_recycled_name_is_shipped_again() {
    let waiting = without_server(5);
    let names = &waiting.names;
    waiting.archive(&names[0]);
    waiting.archive(&names[1]);
    // The standby has replayed and removed it, and the name is used again.
    fs::remove_file(waiting.pair.archived(&names[1])).unwrap();
    fs::rename(waiting.status(&names[1], "done"), waiting.status(&names[1], "ready")).unwrap();
    let path = waiting.wal(&names[1]);
    let mut content = fs::read(&path).unwrap();
    let end = content.len();
    content[end - 8192 + 24..].fill(7);
    fs::write(&path, &content).unwrap();
    waiting.archive(&names[1]);
    waiting.archive(&names[2]);
}

#[test]
fn another_node_gets_the_file_itself() {
    let waiting = without_server(5);
    let names = waiting.names.clone();
    waiting.archive(&names[0]);
    waiting.wait_until_stored(&names[2]);
    let mut db3 = waiting.pair.bed.node("db3").unwrap();
    db3.start_sshd().unwrap();
    db3.install_commands(crate::pair::BUILT, &crate::pair::COMMANDS).unwrap();
    for directory in [db3.pgdata(), db3.archive()] {
        db3.run_as().make_dir(&directory, 0o700).unwrap();
    }
    waiting.pair.db1.reach(&db3).unwrap();
    assert!(waiting.socket().exists(), "the process that ships to db2 still runs");
    let output = waiting.call(&names[1]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let stored = db3.archive().join(&names[1]);
    assert!(fs::read(stored).unwrap() == fs::read(waiting.wal(&names[1])).unwrap());
    fs::rename(waiting.status(&names[1], "ready"), waiting.status(&names[1], "done")).unwrap();
    wait_until("the process to end", LIMIT, || waiting.processes().is_empty()).unwrap();
    // The next call starts one that ships to db3.
    let output = waiting.call(&names[2]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(db3.archive().join(&names[2]).exists());
    waiting.ended();
}
