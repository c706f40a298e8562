//! The manual's commands, in a shell on each node, from the installation to the failover.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use twowarm_core::testbed::{COMMANDS, LIMIT, Node, StopMode, Testbed, finish, wait_until};

use crate::site::log;

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/manual.md");
const SECTION: &str = "### The same, command by command\n";
/// PGROOT in the manual.
const PGROOT: &str = "/var/lib/postgresql";
const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/install");

/// The node and the command of each line.
fn commands() -> Vec<(String, String)> {
    let manual = fs::read_to_string(MANUAL).unwrap();
    let (_, section) = manual.split_once(SECTION).unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let lines =
        section.lines().filter(|line| line.starts_with("db1$ ") || line.starts_with("db2$ "));
    lines.map(|line| line.split_once("$ ").unwrap()).map(|(n, c)| (n.into(), c.into())).collect()
}

/// Builds pg_standby, which cargo does not build for this test, and copies all commands to a directory, as small as in a
/// release: they are copied and sent several times.
fn build_in(directory: &Path) {
    let built = Path::new(env!("CARGO_BIN_EXE_switchover")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "twowarm-pgstandby", "--bin", "pg_standby"]);
    cargo.arg("--target-dir").arg(built.parent().unwrap());
    if built.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    finish(&mut cargo).unwrap();
    fs::create_dir(directory).unwrap();
    for name in COMMANDS.into_iter().filter(|name| *name != "configSetup").chain(["pg_standby"]) {
        let mut strip = Command::new("strip");
        finish(strip.arg("-o").args([directory.join(name), built.join(name)])).unwrap();
    }
}

/// Runs a command as its user types it, after logging in; returns what it printed.
fn type_on(node: &Node, command: &str) -> String {
    let pgroot = node.pgroot();
    let path = std::env::var("PATH").unwrap();
    let mut shell = node.program("sh");
    shell.args(["-c", &format!("if [ -e ~/.profile ]; then . ~/.profile; fi; {command}")]);
    shell.current_dir(&pgroot).env("HOME", &pgroot);
    let bin = node.install().program("pg_ctl").parent().unwrap().display().to_string();
    shell.env("PATH", format!("{bin}:{path}"));
    shell.env("PGHOST", node.socket_dir()).env("PGPORT", node.port().to_string());
    finish(&mut shell).unwrap_or_else(|error| panic!("{command}: {error}\n{}", logs(node)))
}

/// The servers were started with `-l server.log`.
fn logs(node: &Node) -> String {
    let started = fs::read_to_string(node.pgroot().join("server.log")).unwrap_or_default();
    log(node) + &started
}

/// The test bed has created the tree, except for what the manual tells to write. Keys, and the names of the nodes, are
/// in its 2warm.toml.
fn before_the_installation() -> (Node, Node) {
    let (db1, db2) = Testbed::new().unwrap().pair().unwrap();
    for node in [&db1, &db2] {
        fs::remove_dir_all(node.global()).unwrap();
        fs::remove_dir_all(node.local().join("replication")).unwrap();
        fs::remove_file(node.local().join("environment.sh")).unwrap();
    }
    db1.initdb_small_segments().unwrap();
    db1.start().unwrap();
    // Its port and its socket differ from db1's.
    let own = db2.own_conf().unwrap() + &db2.small_conf().unwrap();
    let archiving = db2.archiving_conf().unwrap();
    db2.write_local("postgresql.conf", own + &archiving).unwrap();
    (db1, db2)
}

#[test]
fn the_manual_from_the_installation_to_the_failover() {
    let (db1, db2) = before_the_installation();
    db1.sql("create table t as select generate_series(1, 1000) n").unwrap();
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    let count = |node: &Node| node.sql("select count(*) from t").ok();
    for (node, command) in &commands {
        let node = if node == "db1" { &db1 } else { &db2 };
        if command.starts_with("ssh-") {
            continue;
        }
        if let Some(root) = command.strip_prefix("make install PGROOT=") {
            assert_eq!(root, PGROOT);
            let build = node.testbed().dir().join("build");
            build_in(&build);
            finish(Command::new("sh").arg(INSTALL).args([build, node.pgroot()])).unwrap();
            continue;
        }
        if command.contains("psql") {
            db1.sql("insert into t select generate_series(1, 500)").unwrap();
        }
        if command.starts_with("triggerStandby") {
            db1.stop(StopMode::Immediate).unwrap();
        }
        let said = type_on(node, command);
        println!("{}$ {command}\n{said}", node.name());
        if command.contains("configSetup") {
            assert!(said.contains("OTHERNODE=db2"), "{said}");
        }
        if command.contains("psql") {
            wait_until("the rows on db2", LIMIT, || count(&db2) == Some("1500".into()))
                .unwrap_or_else(|error| panic!("{error}\n{}{}", logs(&db1), logs(&db2)));
        }
        if command.contains("tail") {
            assert!(said.contains("restored log file"), "{said}");
        }
    }
    assert!(!db2.is_in_recovery().unwrap());
    db2.sql("insert into t values (0)").unwrap();
    assert_eq!(count(&db2), Some("1501".into()));
}
