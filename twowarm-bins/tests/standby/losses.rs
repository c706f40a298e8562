use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use twowarm_core::testbed::finish;

use crate::pair::{Pair, fails, succeeds};

/// A pair with a base copy that the next one would replace.
fn with_older_copy() -> Pair {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    pair
}

fn put(node: &twowarm_core::testbed::Node, name: &str, text: &str) {
    let path = node.pgdata().join(name);
    let parent = path.parent().unwrap();
    if !parent.exists() {
        node.run_as().make_dir(parent, 0o700).unwrap();
    }
    node.run_as().write(&path, text).unwrap();
}

fn with_yes(pair: &Pair) -> Command {
    let mut command = pair.db1.command("copyToStandby");
    command.arg("--yes");
    command
}

#[test]
fn files_that_are_not_part_of_the_cluster_are_listed_before_they_are_lost() {
    let pair = with_older_copy();
    let lost = ["dumps/a.sql", "dumps/old/b.sql", "server.key", "conf.d/theirs.conf"];
    lost.iter().for_each(|name| put(&pair.db2, name, "theirs"));
    for (name, ours) in [("conf.d/both.conf", "ours"), ("conf.d/same.conf", "theirs")] {
        put(&pair.db1, name, ours);
        put(&pair.db2, name, "theirs");
    }
    put(&pair.db1, "conf.d/new.conf", "ours");
    // The file that the link points to is not lost, but the link is.
    put(&pair.db1, "linked.conf", "ours");
    symlink(pair.db2.home(), pair.db2.pgdata().join("linked.conf")).unwrap();
    let control = fs::read(pair.db2.pgdata().join("global/pg_control")).unwrap();
    pair.fill("more", 100);

    let said = fails(pair.db1.command("copyToStandby"), 1);
    let deleted = "deleted: conf.d/ (1 file), dumps/ (2 files), server.key; \
                   overwritten: linked.conf, conf.d/both.conf. ";
    assert!(said.contains(deleted) && said.contains("--yes"), "{said}");
    for name in lost.iter().chain(&["conf.d/both.conf"]) {
        assert_eq!(fs::read_to_string(pair.db2.pgdata().join(name)).unwrap(), "theirs", "{name}");
    }
    assert!(!pair.db2.pgdata().join("conf.d/new.conf").exists());
    assert_eq!(fs::read(pair.db2.pgdata().join("global/pg_control")).unwrap(), control);

    let said = succeeds(with_yes(&pair));
    assert!(said.contains("server.key; overwritten: linked.conf, conf.d/both.conf\n"), "{said}");
    assert!(lost.iter().all(|name| !pair.db2.pgdata().join(name).exists()));
    let both = fs::read_to_string(pair.db2.pgdata().join("conf.d/both.conf")).unwrap();
    assert_eq!(both, "ours");

    // The next copy would delete nothing, so it does not ask.
    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(!said.contains("not part of the cluster"), "{said}");
    let mut bad = pair.db1.command("copyToStandby");
    bad.arg("--yes!");
    assert!(fails(bad, 2).contains("[--yes]"));
}

#[test]
fn a_terminal_is_asked() {
    let pair = with_older_copy();
    put(&pair.db2, "server.key", "theirs");
    let answered = |answer: &str| {
        let inside = "../2warm/global/replication/copyToStandby";
        let mut command = pair.db1.program("script");
        command.current_dir(pair.db1.pgdata()).args(["-qec", inside, "/dev/null"]);
        let mut asked = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script can be run");
        let mut input = asked.stdin.take().unwrap();
        input.write_all(format!("{answer}\n").as_bytes()).unwrap();
        let output = asked.wait_with_output().unwrap();
        drop(input);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = answered("no");
    assert!(code == Some(1) && said.contains("deleted: server.key"), "{said}");
    assert!(pair.db2.pgdata().join("server.key").exists());
    let (code, said) = answered("yes");
    assert!(code == Some(0) && said.contains("Type yes"), "{said}");
    assert!(!pair.db2.pgdata().join("server.key").exists());
}

#[test]
fn a_node_keeps_its_own_configuration_files() {
    let pair = Pair::new();
    let own = "local all all trust # db2's\n";
    pair.db2.write_local("pg_hba.conf", own).unwrap();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    let of = |name: &str| fs::read_to_string(pair.db2.pgdata().join(name)).unwrap();
    assert_eq!(of("pg_hba.conf"), own);
    put(&pair.db2, "pg_ident.conf", "# db2's\n");
    let said = succeeds(pair.db1.command("copyToStandby"));
    assert!(said.contains("pg_ident.conf on db2 is replaced"), "{said}");
    assert!(!said.contains("pg_hba.conf"), "{said}");
    assert_eq!(of("pg_hba.conf"), own);
    let theirs = fs::read_to_string(pair.db1.pgdata().join("pg_ident.conf")).unwrap();
    assert_eq!(of("pg_ident.conf"), theirs);
}

#[test]
fn settings_that_the_standby_would_lack_as_a_primary_are_reported_on_both_nodes() {
    let pair = Pair::new();
    // As on Debian, where the server is started with another configuration file.
    let elsewhere = pair.db2.home().join("elsewhere.conf");
    let conf = "archive_mode = off\narchive_command = 'cp %p /a/%f'\n";
    pair.db2.run_as().write(&elsewhere, conf).unwrap();
    let line = format!("/pg/postgres \"-c\" \"config_file={}\"\n", elsewhere.display());
    put(&pair.db2, "postmaster.opts", &line);
    for (node, command) in [(&pair.db2, "configStandby"), (&pair.db1, "copyToStandby")] {
        let said = succeeds(node.command(command));
        let warned: Vec<_> = said.lines().filter(|line| line.starts_with("WARNING")).collect();
        for (name, value) in [("archive_mode", "on"), ("archive_command", "'../2warm")] {
            let told = warned.iter().find(|line| line.contains(&format!("{name} is \"")));
            let told = told.unwrap_or_else(|| panic!("{name}: {said}"));
            assert!(told.contains(&format!("write {name} = {value}")), "{told}");
            assert!(told.contains(elsewhere.to_str().unwrap()), "{told}");
        }
    }
    pair.db2.run_as().write(&elsewhere, pair.db2.archiving_conf().unwrap()).unwrap();
    for (node, command) in [(&pair.db2, "configStandby"), (&pair.db1, "copyToStandby")] {
        let said = succeeds(node.command(command));
        assert!(!said.contains("WARNING"), "{said}");
    }
    let made = finish(pair.db2.program("ls").arg(pair.db2.pgdata())).unwrap();
    assert!(made.contains("postmaster.opts"), "{made}");
}
