use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use twowarm_core::testbed::{Node, finish};

use crate::pair::{self, fails, names, succeeds};

/// Two nodes, each with commands of its own: the nodes of other tests share them.
fn nodes_with(on_db1: &[&str], on_db2: &[&str]) -> (Node, Node) {
    let (db1, db2) = pair::nodes_with(on_db1, on_db2);
    for node in [&db1, &db2] {
        let mut copy = node.program("sh");
        copy.current_dir(node.global().join("replication"));
        let own =
            "for name in *; do [ ! -f \"$name\" ] || { cp \"$name\" x && mv x \"$name\"; }; done";
        finish(copy.args(["-c", own])).unwrap();
    }
    (db1, db2)
}

#[test]
fn the_installation_arrives_and_the_nodes_own_files_stay_apart() {
    let (db1, db2) = nodes_with(&["distrib2warm", "configFacts", "configSetup"], &[]);
    db1.run_as().write(&db1.global().join("recovery.conf"), "# new\n").unwrap();
    for name in ["postgresql.conf", "replication/archiving_active", "replication/node_id", "key"] {
        db1.write_local(name, "db1's").unwrap();
    }
    let own = |name: &str| fs::read_to_string(db2.local().join(name)).unwrap();
    let before = [own("environment.sh"), own("2warm.toml"), own("replication/othernode")];
    db2.write_local("postgresql.conf", "db2's").unwrap();

    let said = succeeds(db1.command("distrib2warm"));
    assert!(said.contains("db2:") && said.contains("global/recovery.conf"), "{said}");
    assert_eq!(fs::read_to_string(db2.global().join("recovery.conf")).unwrap(), "# new\n");
    let after = [own("environment.sh"), own("2warm.toml"), own("replication/othernode")];
    assert_eq!(before, after);
    assert_eq!(own("postgresql.conf"), "db2's");
    assert_eq!(names(&db2.local().join("replication")), ["drnode", "othernode"]);
    assert!(!db2.local().join("key").exists());
    succeeds(db2.command("configSetup"));

    // A node without a 2warm tree.
    fs::remove_dir_all(db2.pgroot().join("2warm")).unwrap();
    succeeds(db1.command("distrib2warm"));
    assert_eq!(names(&db2.local()), ["replication"]);
    assert_eq!(names(&db2.local().join("replication")), [""; 0]);

    db1.write_local("replication/othernode", "").unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    assert!(said.contains("othernode"), "{said}");
}

/// Regression: a full disk left a mixture of old and new commands.
#[test]
fn all_of_the_installation_is_replaced_or_nothing() {
    let (db1, mut db2) = nodes_with(&["distrib2warm"], &[]);
    let global = |node: &Node, name: &str| node.global().join("replication").join(name);
    for (name, node, text) in
        [("aOne", &db1, "new"), ("zTwo", &db1, "new"), ("aOne", &db2, "old"), ("zTwo", &db2, "old")]
    {
        node.run_as().write(&global(node, name), text).unwrap();
    }
    // As on a full disk: aOne has arrived when writing the next file, distrib2warm, fails.
    let cut = "ulimit -f 500; sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let all = "sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let copy_key = db1.copy_key();
    db2.sshd().authorize(copy_key, Some(cut)).unwrap();
    fails(db1.command("distrib2warm"), 1);
    let read = |name: &str| fs::read_to_string(global(&db2, name)).unwrap();
    assert_eq!([read("aOne"), read("zTwo")], ["old", "old"]);
    db2.sshd().authorize(copy_key, Some(all)).unwrap();
    succeeds(db1.command("distrib2warm"));
    let read = |name: &str| fs::read_to_string(global(&db2, name)).unwrap();
    assert_eq!([read("aOne"), read("zTwo")], ["new", "new"]);
    assert_eq!(names(&db2.global().join("replication")), ["aOne", "distrib2warm", "zTwo"]);
}

/// If it is killed while files arrive, the old ones remain. If it is killed while they are renamed, the next run
/// completes the renames. Neither leaves temporary files behind.
#[test]
fn a_killed_distribution_is_finished_by_the_next_one() {
    const NAMES: [&str; 4] = ["aOne", "bTwo", "cThree", "dFour"];
    let (db1, mut db2) = nodes_with(&["distrib2warm"], &["distrib2warm"]);
    let replication = db2.global().join("replication");
    for own in ["theirs", ".aOne.backup"] {
        db2.run_as().write(&replication.join(own), "db2's").unwrap();
    }
    let read = || NAMES.map(|name| fs::read_to_string(replication.join(name)).unwrap());
    // Each file is renamed twice: once it has arrived, and once all have arrived.
    for (killed_at, is_old) in [(1, true), (3, true), (4, true), (6, false), (8, false)] {
        for name in NAMES {
            let place = db1.global().join("replication").join(name);
            db1.run_as().write(&place, format!("new {killed_at}, twowarm")).unwrap();
            db2.run_as().write(&replication.join(name), "old").unwrap();
        }
        let kill = format!("inject=rename,renameat,renameat2:signal=KILL:when={killed_at}");
        let wrapper =
            format!("strace -f -qq -o /dev/null -e {kill} sh -c \"$SSH_ORIGINAL_COMMAND\"");
        db2.sshd().authorize(db1.copy_key(), Some(&wrapper)).unwrap();
        // The listing at the beginning renames nothing on db2.
        fails(db1.command("distrib2warm"), 1);
        if is_old {
            assert_eq!(read(), ["old"; 4], "killed at {killed_at}");
        }
        db2.sshd().authorize(db1.copy_key(), None).unwrap();
        succeeds(db1.command("distrib2warm"));
        assert_eq!(read(), NAMES.map(|_| format!("new {killed_at}, twowarm")));
        let found = names(&replication);
        assert_eq!(
            found,
            [".aOne.backup", "aOne", "bTwo", "cThree", "dFour", "distrib2warm", "theirs"]
        );
    }
}

/// Small text files replace the original scripts.
#[test]
fn the_scripts_that_are_replaced_are_named_before() {
    let (db1, db2) =
        nodes_with(&["distrib2warm", "archiveWALFile", "restoreWALFile"], &["restoreWALFile"]);
    let write = |node: &Node, name: &str, text: &str| {
        node.run_as().write(&node.global().join("replication").join(name), text).unwrap();
    };
    for name in ["archiveWALFile", "configSetup", "distrib2warm", "flushPrimary", "mine"] {
        write(&db2, name, "#!/bin/bash\n. configSetup\n");
    }
    write(&db1, "configSetup", "#!/bin/sh\n# twowarm\n");
    write(&db1, "mine", "#!/bin/sh\n");
    let before = "Replacing scripts of 2warm on db2: archiveWALFile, configSetup, distrib2warm\n";
    let said = succeeds(db1.command("distrib2warm"));
    let named = said.find(before).unwrap_or_else(|| panic!("{said}"));
    assert!(said.find("global/replication/archiveWALFile").unwrap() > named, "{said}");
    let flush = fs::read_to_string(db2.global().join("replication/flushPrimary")).unwrap();
    assert!(flush.starts_with("#!/bin/bash"));
    // The second time there are no scripts left to replace, and no temporary files remain on db1.
    let scratch = db1.home().join("scratch");
    db1.run_as().make_dir(&scratch, 0o700).unwrap();
    let mut again = db1.command("distrib2warm");
    again.env("TMPDIR", &scratch);
    let said = succeeds(again);
    assert!(!said.contains("Replacing"), "{said}");
    assert_eq!(names(&scratch), [""; 0]);
}

/// Regression: rsync and receiveWALFile waited for each other until the time limit.
#[test]
fn a_key_that_is_restricted_to_receive_wal_file_is_reported() {
    let (db1, mut db2) =
        nodes_with(&["distrib2warm", "receiveWALFile"], &["distrib2warm", "receiveWALFile"]);
    let receiver = db2.global().join("replication/receiveWALFile").display().to_string();
    db2.sshd().authorize(db1.copy_key(), Some(&receiver)).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    for word in ["db2", "only for receiveWALFile", "copy_key", "[node.db2]"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_command_that_runs_all_the_time_never_fails_while_it_is_replaced() {
    let (db1, db2) = nodes_with(&["distrib2warm", "configFacts"], &["configFacts"]);
    let command = db2.global().join("replication/configFacts");
    let over = AtomicBool::new(false);
    let (over, program) = (&over, &command);
    std::thread::scope(|scope| {
        let calls = scope.spawn(move || {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) || calls == 0 {
                let output = Command::new(program).arg("--version").output().unwrap();
                assert!(output.status.success(), "{output:?}");
                assert!(output.stdout.starts_with(b"configSetup"), "an empty file: {output:?}");
                calls += 1;
            }
        });
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for run in 0..3 {
                // A different content, so that it is sent.
                let text = fs::read(&command).unwrap();
                let other = [text, format!("\n{run}").into_bytes()].concat();
                let place = db1.global().join("replication/configFacts");
                fs::write(&place, &other).unwrap();
                succeeds(db1.command("distrib2warm"));
                assert!(fs::read(&command).unwrap() == other);
            }
        }));
        over.store(true, Ordering::Relaxed);
        calls.join().unwrap();
        said.unwrap();
    });
}

#[test]
fn an_ssh_that_is_refused_says_so() {
    let (db1, mut db2) = nodes_with(&["distrib2warm"], &[]);
    db2.sshd().refuse(db1.copy_key()).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    // rsync reports either that ssh failed or that the connection was closed.
    assert!(said.contains("db2") && said.contains("Permission denied"), "{said}");
}

/// Regression: the message was only "The connection broke (WARNING: UNPROTECTED PRIVATE KEY FILE!)".
#[test]
fn a_key_that_others_can_read_is_named() {
    let (db1, _db2) = nodes_with(&["distrib2warm"], &[]);
    fs::set_permissions(db1.copy_key().private(), fs::Permissions::from_mode(0o644)).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    assert!(said.contains("ssh ignored the private key"), "{said}");
    assert!(
        said.contains(db1.copy_key().private().to_str().unwrap()) && said.contains("chmod 600"),
        "{said}"
    );
}

/// Regression: the message was only that the connection broke.
#[test]
fn a_node_that_ssh_cannot_reach_is_named_with_the_reason() {
    let (db1, mut db2) = nodes_with(&["distrib2warm"], &[]);
    let known = fs::read_to_string(db1.known_hosts()).unwrap();
    let fails_with = |words: &[&str]| {
        let said = fails(db1.command("distrib2warm"), 1);
        for word in words {
            assert!(said.contains(word), "\"{word}\" is not in: {said}");
        }
    };
    db1.run_as().write(&db1.known_hosts(), "").unwrap();
    fails_with(&["db2: the host key of [127.0.0.1]:", "is not known", "ssh-keyscan"]);
    let host = known.split(' ').next().unwrap();
    let other = format!("{host} {}\n", db1.copy_key().public());
    db1.run_as().write(&db1.known_hosts(), other).unwrap();
    fails_with(&["db2: the host key of [127.0.0.1]:", "has changed: SHA256:", "line 1 of"]);
    db1.run_as().write(&db1.known_hosts(), known).unwrap();

    let moved = db2.pgroot().with_extension("moved");
    fs::rename(db2.pgroot(), &moved).unwrap();
    fails_with(&["rsync to db2 failed", "does not exist there", "[node.db2]", "mkdir"]);
    fs::rename(moved, db2.pgroot()).unwrap();
    db2.sshd().stop();
    fails_with(&["could not connect to db2", "Connection refused"]);
    db2.sshd().restart().unwrap();
    succeeds(db1.command("distrib2warm"));
}

/// Regression: the installation was copied onto itself.
#[test]
fn a_node_does_not_copy_its_installation_onto_itself() {
    let (db1, _db2) = nodes_with(&["distrib2warm"], &[]);
    db1.reach(&db1).unwrap();
    let before = names(&db1.global().join("replication"));
    let said = fails(db1.command("distrib2warm"), 1);
    assert!(said.contains("db1 is this node") && said.contains("othernode"), "{said}");
    assert_eq!(names(&db1.global().join("replication")), before);
}

/// Another architecture, or an older system, whose libraries the commands do not fit.
#[test]
fn a_node_on_which_the_commands_do_not_run_is_reported() {
    let (db1, mut db2) = nodes_with(&["distrib2warm", "archiveWALFile"], &[]);
    let there = db2.global().join("replication/archiveWALFile");
    let _ = fs::remove_file(&there);
    let run = "sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let copy_key = db1.copy_key();
    let uname = format!("case $SSH_ORIGINAL_COMMAND in uname*) echo Linux other;; *) {run};; esac");
    db2.sshd().authorize(copy_key, Some(&uname)).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    assert!(said.contains("db2 is Linux other, but the commands of this node are"), "{said}");
    assert!(!there.exists());
    let old = format!(
        "case $SSH_ORIGINAL_COMMAND in *--version) echo GLIBC_9 not found >&2; exit 1;; *) {run};; esac"
    );
    db2.sshd().authorize(copy_key, Some(&old)).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    assert!(said.contains("does not run on db2: GLIBC_9 not found"), "{said}");
    db2.sshd().authorize(copy_key, Some(run)).unwrap();
    succeeds(db1.command("distrib2warm"));
    assert!(there.exists());
}
