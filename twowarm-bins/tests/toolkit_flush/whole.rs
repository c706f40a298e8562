//! The command switchover. tests/toolkit_scenarios runs it to its end, and breaks it off.

use twowarm_core::testbed::{LIMIT, Node, StopMode, finish, wait_until};

use crate::pair::{Pair, Running, rows};

/// Lets commands on a node start its server, as start_command does at a site.
pub fn start_command(node: &Node) {
    let pg_ctl = node.install().program("pg_ctl");
    let arguments = node.install().major().unwrap().pg_ctl_start().join("\", \"");
    let line = format!(
        "[server]\nstart_command = [\"{}\", \"{arguments}\", \"-D\", \"{}\", \"-l\", \"{}\"]\n",
        pg_ctl.display(),
        node.pgdata().display(),
        node.home().join("server.log").display()
    );
    let settings = std::fs::read_to_string(node.local().join("2warm.toml")).unwrap();
    assert!(settings.contains("[server]\n"), "{settings}");
    node.write_local("2warm.toml", settings.replace("[server]\n", &line)).unwrap();
}

#[test]
fn a_dry_run_changes_nothing() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    let said = pair.on_db1("switchover", &["--dry-run"]);
    assert!(said.contains("db2 can be reached\ntriggerStandby can be run on db2\n"), "{said}");
    assert!(
        said.contains("Nothing was changed") && said.contains("you start its server"),
        "{said}"
    );
    pair.is_as_before();
    pair.flows(10);
}

#[test]
fn a_standby_that_is_not_running_is_noticed_first() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    pair.db2.stop(StopMode::Fast).unwrap();
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("is not running") && said.contains("Nothing was changed"), "{said}");
    pair.db2.start_warm().unwrap();
    pair.flows(10);
    pair.is_as_before();
}

/// A triggerStandby that ends in this way when it is to promote.
fn replace_trigger(pair: &Pair, end: &str) {
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --check ]; then echo 'The standby in x is running'; exit; fi\n{end}\n"
    );
    let place = pair.db2.global().join("replication/triggerStandby");
    let aside = place.with_extension("new");
    let mut write = std::process::Command::new("sh");
    write.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\" && mv \"$0\" \"$2\""]);
    finish(write.arg(&aside).arg(text).arg(&place)).unwrap();
}

#[test]
fn a_standby_that_refuses_leaves_the_old_primary() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    start_command(&pair.db1);
    replace_trigger(&pair, "echo 'triggerStandby: ERROR: not now' >&2; exit 1");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("triggerStandby on db2: not now"), "{said}");
    assert!(said.ends_with("This node is still the primary"), "{said}");
    pair.is_as_before();
    // Before 9.1 pg_ctl does not wait.
    wait_until("db1 to be up", LIMIT, || pair.db1.client().is_ok()).unwrap();
    pair.flows(10);
    pair.db1.stop(StopMode::Fast).unwrap();
}

/// The standby may have been promoted, or may be a moment later.
#[test]
fn a_promotion_whose_end_is_not_known_starts_no_primary() {
    let pair = Pair::new("standby");
    if !pair.can_rejoin() {
        return;
    }
    start_command(&pair.db1);
    replace_trigger(&pair, "kill -9 $$");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("run triggerStandby on db2"), "{said}");
    assert!(pair.db1.pid().is_none() && pair.receipt().is_some());
}

/// Killed at a step, the switchover is completed by the single commands, or undone.
#[test]
fn a_switchover_that_was_killed_leaves_one_primary() {
    for (step, promoted) in [
        ("New sessions are rejected", false),
        ("The shutdown checkpoint is at", false),
        ("db2 is the primary", true),
    ] {
        let pair = Pair::new("standby");
        if !pair.can_rejoin() {
            return;
        }
        let mut command = pair.db1.command("switchover");
        command.args(["--wait", "0"]);
        let mut switchover = Running::start(command);
        switchover.prints(step);
        switchover.kill();
        if promoted {
            assert!(!pair.db2.is_in_recovery().unwrap());
            for (command, arguments) in
                [("flushPrimary", &[][..]), ("switchover", &[]), ("switchover", &["--dry-run"])]
            {
                let said = pair.fails(command, arguments);
                let is_told = said.contains("db2 was promoted and is the primary now")
                    && said.contains("configStandby --rejoin on this node")
                    && !said.contains("run flushPrimary");
                // By the history, if db2 has shipped it already.
                let is_known = arguments == ["--undo"]
                    && said.contains("timeline 2 has forked from this node's timeline 1: another")
                    && said.contains("HINT: run configStandby --rejoin");
                assert!(is_told || is_known, "{said}");
            }
            // It asks no other node if the new timeline is known here, and refuses in any case.
            let said = pair.fails("flushPrimary", &["--undo"]);
            assert!(
                said.contains("was promoted") && said.contains("configStandby --rejoin"),
                "{said}"
            );
            pair.on_db1("configStandby", &["--rejoin"]);
            pair.db1.start_warm().unwrap();
            wait_until("db1 to follow", LIMIT, || rows(&pair.db1) == rows(&pair.db2)).unwrap();
        } else {
            pair.on_db1("flushPrimary", &["--undo"]);
            pair.is_as_before();
            if pair.db1.pid().is_none() {
                pair.db1.start().unwrap();
            }
            pair.flows(10);
        }
    }
}

/// Regression: triggerStandby was waited for, and then it was advised to update it.
#[test]
fn a_key_that_is_restricted_to_another_command_is_named() {
    let mut pair = Pair::new("standby");
    let receiver = pair.db2.global().join("replication/receiveWALFile").display().to_string();
    let Pair { db1, db2 } = &mut pair;
    db2.sshd().authorize(db1.copy_key(), Some(&receiver)).unwrap();
    let key = db1.copy_key().private().display().to_string();
    for carrier in ["", "[node.db2]\ncarrier = \"openssh\"\n"] {
        let settings = std::fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
        if !carrier.is_empty() {
            let settings = settings.replace("[node.db2]\n", carrier);
            pair.db1.write_local("2warm.toml", settings).unwrap();
        }
        for arguments in [&["--dry-run"][..], &["--wait", "0"]] {
            let said = pair.fails("switchover", arguments);
            for words in [&key, "only for receiveWALFile", "set copy_key", "Nothing was changed"] {
                assert!(said.contains(words), "{words}: {said}");
            }
        }
    }
    pair.is_as_before();
    let Pair { db1, db2 } = &mut pair;
    db2.sshd().refuse(db1.copy_key()).unwrap();
    let said = pair.fails("switchover", &["--dry-run"]);
    assert!(said.contains("refused the login"), "{said}");
}

#[test]
fn a_switchover_on_the_standby_names_the_primary() {
    let pair = Pair::new("standby");
    pair.db2.write_local("replication/othernode", "db1\n").unwrap();
    for arguments in [&["--dry-run"][..], &[]] {
        let run = finish(pair.db2.command("switchover").args(arguments));
        let said = run.unwrap_err().to_string();
        assert!(said.contains("HINT: run switchover on the primary, db1"), "{said}");
    }
    pair.flows(10);
}
