use std::fs;
use std::process::Output;

use twowarm_core::testbed::{Node, StopMode, Testbed};

use crate::tree::{SHELLS, Tree, run};

/// The line that a check prints before it ends the script.
fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.starts_with("ERROR:  ") && said.lines().count() == 1, "one line: {output:?}");
    said
}

fn refuses(tree: &Tree, check: &str, words: &[&str]) {
    for shell in SHELLS {
        for strict in ["", "set -eu; "] {
            let said = refusal(&tree.run(shell, &format!("{strict}{check}; echo went on")));
            words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
        }
    }
}

fn passes(tree: &Tree, check: &str) {
    for shell in SHELLS {
        tree.prints(shell, &format!("set -eu; {check}; echo went on"), "went on\n");
    }
}

#[test]
fn what_a_script_requires_is_there_or_the_script_ends() {
    let tree = Tree::new();
    passes(&tree, "require_pgdata");
    passes(&tree, "require_archive");
    assert!(tree.pgdata().join("archive").is_dir());
    passes(&tree, "require_other");
    refuses(&tree, "require_dr", &["DR node", "/local/replication/drnode"]);
    fs::write(tree.local().join("replication/drnode"), "db3\n").unwrap();
    passes(&tree, "require_dr");
    fs::write(tree.local().join("replication/othernode"), "").unwrap();
    refuses(&tree, "require_other", &["/local/replication/othernode"]);

    fs::remove_dir(tree.pgdata().join("archive")).unwrap();
    fs::write(tree.pgdata().join("archive"), "").unwrap();
    refuses(&tree, "require_archive", &["archive directory", "File exists"]);
    fs::remove_dir_all(tree.pgdata()).unwrap();
    let pgdata = tree.pgdata().display().to_string();
    refuses(&tree, "require_pgdata", &[&pgdata]);
    refuses(&tree, "require_archive", &[&pgdata]);
    fs::write(tree.local().join("environment.sh"), "").unwrap();
    refuses(&tree, "require_pgdata", &["environment.sh"]);
}

#[test]
fn the_role_is_what_the_directory_says_at_that_moment() {
    for (version, file, other) in [
        ("9.1", "recovery.conf", "standby.signal"),
        ("11", "recovery.conf", "recovery.signal"),
        ("12", "standby.signal", "recovery.conf"),
        ("15", "recovery.signal", "recovery.conf"),
    ] {
        let tree = Tree::new();
        fs::write(tree.pgdata().join("PG_VERSION"), version).unwrap();
        fs::write(tree.pgdata().join(other), "").unwrap();
        passes(&tree, "primary_only");
        refuses(&tree, "standby_only", &["does not belong to a standby"]);
        // The script itself may have created the file.
        passes(&tree, &format!(": > \"$PGDATA/{file}\"; standby_only; rm \"$PGDATA/{file}\""));
        fs::write(tree.pgdata().join(file), "").unwrap();
        passes(&tree, "standby_only");
        refuses(&tree, "primary_only", &["run this on the primary only"]);
    }
    let tree = Tree::new();
    fs::remove_dir(tree.pgdata()).unwrap();
    for check in ["primary_only", "standby_only"] {
        refuses(&tree, check, &["could not determine"]);
    }
    // configFacts has been removed since the script started.
    let tree = Tree::new();
    for check in ["primary_only", "standby_only", "exit_if_primary"] {
        let gone = "mv \"${GLOBAL}replication/configFacts\" \"$PGROOT/aside\"";
        let back = "mv \"$PGROOT/aside\" \"${GLOBAL}replication/configFacts\"";
        let output =
            tree.run("bash", &format!("{gone}; trap '{back}' EXIT; {check}; echo went on"));
        assert!(refusal(&output).contains("could not determine"));
    }
}

#[test]
fn exit_on_error_looks_at_the_command_before_it() {
    let tree = Tree::new();
    refuses(&tree, "false || exit_on_error \"it's * broken\"", &["ERROR:  it's * broken"]);
    refuses(&tree, "false || exit_on_error", &["unexpected problem"]);
    for shell in SHELLS {
        let said =
            refusal(&tree.run(shell, "IFS=17; (exit 7)\nexit_on_error \"code $?\"\necho on"));
        assert_eq!(said, "ERROR:  code 7\n");
    }
    passes(&tree, "true; exit_on_error no");
}

/// A warning from each check would fill the server's log.
#[test]
fn a_check_repeats_no_warning() {
    let tree = Tree::new();
    let script = tree.script("dash", "ours", "primary_only; exit_if_primary; echo went on");
    let output = run(tree.command(script).env("TWOWARM_LOG", "nonsense"));
    assert_eq!(output.stdout, b"went on\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// This check guards an `rm -rf`.
#[test]
fn a_running_primary_ends_the_script_and_a_running_standby_does_not() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db1").unwrap();
    node.initdb(&[]).unwrap();
    let check = |data: &str| check_on(&node, data);
    assert_eq!(check("data"), "went on\n");
    node.start().unwrap();
    assert!(check("data").contains("appears to be the primary"));
    // The server of another data directory, at the address that psql uses.
    assert!(check("other").contains("appears to be the primary"));

    node.stop(StopMode::Fast).unwrap();
    node.append_conf("restore_command = 'false'\nhot_standby = on").unwrap();
    node.run_as().write(&node.pgdata().join("standby.signal"), "").unwrap();
    node.start_warm().unwrap();
    assert_eq!(check("data"), "went on\n");
    // For a server that accepts no connections, the data directory decides.
    node.stop(StopMode::Fast).unwrap();
    node.append_conf("hot_standby = off").unwrap();
    node.start_warm().unwrap();
    assert_eq!(check("data"), "went on\n");
}

fn check_on(node: &Node, data: &str) -> String {
    let said = SHELLS.map(|shell| {
        let tree = Tree::new();
        let (root, host, port) = (node.pgroot(), node.socket_dir(), node.port());
        let (root, host, user) = (root.display(), host.display(), node.run_as().user());
        let text = format!("PGDATA={root}/{data}\nPGHOST={host}\nPGPORT={port}\nPGUSER={user}\n");
        fs::write(tree.local().join("environment.sh"), text).unwrap();
        let output = tree.run(shell, "exit_if_primary; echo went on");
        String::from_utf8(output.stdout).unwrap()
    });
    assert_eq!(said[0], said[1]);
    said[0].clone()
}
