//! The command switchover. tests/toolkit_scenarios runs it to its end, and breaks it off.

use twowarm_core::testbed::{Node, StopMode, finish};

use crate::pair::Pair;

/// Lets commands on a node start its server, as start_command does at a site.
pub fn start_command(node: &Node) {
    let pg_ctl = node.install().program("pg_ctl");
    let line = format!(
        "[server]\nstart_command = [\"{}\", \"-w\", \"-D\", \"{}\", \"-l\", \"{}\", \"start\"]\n",
        pg_ctl.display(),
        node.pgdata().display(),
        node.pgdata().join("start.log").display()
    );
    let settings = std::fs::read_to_string(node.local().join("2warm.toml")).unwrap();
    assert!(settings.contains("[server]\n"), "{settings}");
    node.write_local("2warm.toml", settings.replace("[server]\n", &line)).unwrap();
}

#[test]
fn a_dry_run_changes_nothing() {
    let pair = Pair::new("standby");
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
    start_command(&pair.db1);
    replace_trigger(&pair, "echo 'triggerStandby: ERROR: not now' >&2; exit 1");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("triggerStandby on db2: not now"), "{said}");
    assert!(said.ends_with("This node is still the primary"), "{said}");
    pair.is_as_before();
    pair.flows(10);
    pair.db1.stop(StopMode::Fast).unwrap();
}

/// The standby may have been promoted, or may be a moment later.
#[test]
fn a_promotion_whose_end_is_not_known_starts_no_primary() {
    let pair = Pair::new("standby");
    start_command(&pair.db1);
    replace_trigger(&pair, "kill -9 $$");
    let said = pair.fails("switchover", &["--wait", "0"]);
    assert!(said.contains("run triggerStandby on db2"), "{said}");
    assert!(pair.db1.pid().is_none() && pair.receipt().is_some());
}
