use std::fs;

use crate::tree::{SHELLS, Tree, run, write_program};

/// Regression: a script that continued without the facts lost WAL, since it saw no archiving_active.
#[test]
fn a_script_ends_with_1_if_the_settings_cannot_be_read() {
    let whole = "printf '%s\\n' \"PGROOT='/x'\" \"PGDATA='/y'\" twowarm_facts=complete";
    let kill = format!("{whole}; kill -9 $$");
    let fail = format!("{whole}; exit 3");
    for (what, facts) in [
        ("missing", None),
        ("an empty file", Some("")),
        ("killed", Some(kill.as_str())),
        ("failing", Some(fail.as_str())),
        ("half an answer", Some("echo \"PGROOT='/x'\"")),
        ("an older configSetup's answer", Some("printf 'PGROOT=/x\\nPGDATA=/y\\n'")),
    ] {
        let tree = Tree::new();
        fs::remove_file(tree.facts()).unwrap();
        if let Some(text) = facts {
            write_program(&tree.facts(), text);
        }
        SHELLS.iter().for_each(|shell| ends(&tree, shell, what));
    }
}

/// Exit codes 1 to 125 of a restore_command end recovery of a standby in warm mode.
#[test]
fn restore_wal_file_as_a_script_stops_the_server_if_the_settings_cannot_be_read() {
    let tree = Tree::new();
    fs::remove_file(tree.facts()).unwrap();
    for shell in SHELLS {
        let script = tree.script(shell, "restoreWALFile", "echo went on");
        let output = run(&mut tree.command(&script));
        assert_eq!(output.status.code(), Some(200), "{shell}: {output:?}");
        assert!(output.stdout.is_empty(), "{shell}: {output:?}");
    }
}

#[test]
fn a_script_ends_with_1_if_the_configuration_is_wrong() {
    for what in ["environment.sh", "replication/othernode", "2warm.toml"] {
        let tree = Tree::new();
        fs::write(tree.local().join(what), "PGDATA='open\n").unwrap();
        SHELLS.iter().for_each(|shell| ends(&tree, shell, what));
    }
    let tree = Tree::new();
    fs::remove_dir_all(tree.local()).unwrap();
    SHELLS.iter().for_each(|shell| ends(&tree, shell, "no local"));
}

/// Asserts that a script ends with 1, with and without `set -e` and `||` where it sources configSetup.
fn ends(tree: &Tree, shell: &str, what: &str) {
    for (before, after) in
        [("", ""), ("set -eu", ""), ("set +e", "|| true"), ("if ", "; then :; fi")]
    {
        let script = tree.replication().join("ours");
        let source = format!(". \"${{0%/*}}/configSetup\" {after}");
        let separator = if before.starts_with("if") { " " } else { "\n" };
        let text = format!("#!/usr/bin/env {shell}\n{before}{separator}{source}\necho went on\n");
        write_program(&script, &text);
        let output = run(&mut tree.command(&script));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shell}, {what}: {output:?}");
        assert!(output.stdout.is_empty(), "{shell}, {what}: {output:?}");
        assert!(said.contains("configFacts could not report"), "{shell}, {what}: {said}");
    }
}

#[test]
fn a_place_without_a_tree_is_named() {
    let tree = Tree::new();
    let file = tree.replication().join("configSetup");
    let elsewhere = tree.dir.path().join("a/b/c");
    fs::create_dir_all(&elsewhere).unwrap();
    let script = elsewhere.join("mine");
    for (shell, found) in [("bash", true), ("dash", false)] {
        let text = format!("#!/usr/bin/env {shell}\n. {}\necho $PGROOT\n", file.display());
        write_program(&script, &text);
        // The working directory is not the script's.
        let output = run(tree.command(&script).current_dir(tree.replication()));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if found {
            assert_eq!(said, format!("{}\n", tree.pgroot.display()));
        } else {
            assert_eq!(output.status.code(), Some(1));
            assert!(said.contains("complete 2warm installation"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let wrong = run(tree.command(&script).env("PGROOT", "/tmp"));
        assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
        let right = run(tree.command(&script).env("PGROOT", &tree.pgroot));
        assert_eq!(right.stdout, format!("{}\n", tree.pgroot.display()).as_bytes());
    }
}
