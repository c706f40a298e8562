use std::fs;

use twowarm_core::testbed::StopMode;

use crate::pair::{Pair, succeeds};

/// Makes the standby's postmaster.pid one of a server before 9.1: without port and socket directory.
fn forget_where_it_listens(pair: &Pair) {
    let file = pair.db2.pgdata().join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().take(3).collect();
    pair.db2.run_as().write(&file, lines.join("\n") + "\n").unwrap();
}

/// Regression: triggerStandby kept trying /var/run/postgresql while the server was open elsewhere.
#[test]
fn a_server_that_does_not_say_where_it_listens_is_found_by_its_configuration() {
    let pair = Pair::with_standby();
    pair.db1.stop(StopMode::Immediate).unwrap();
    forget_where_it_listens(&pair);
    let said = succeeds(pair.db2.command("triggerStandby"));
    assert!(said.contains("The server is open"), "{said}");
    assert!(!pair.db2.is_in_recovery().unwrap());
}

#[test]
fn a_server_whose_configuration_tells_nothing_is_found_by_pghost_and_pgport() {
    let pair = Pair::with_standby();
    pair.db1.stop(StopMode::Immediate).unwrap();
    forget_where_it_listens(&pair);
    pair.db2.append_conf("port = 1\nunix_socket_directories = '/nowhere'").unwrap();
    let mut trigger = pair.db2.command("triggerStandby");
    trigger.env("PGHOST", pair.db2.socket_dir()).env("PGPORT", pair.db2.port().to_string());
    let said = succeeds(trigger);
    assert!(said.contains("The server is open"), "{said}");
}

/// A primary and its standby have the same system identifier, and often the same path.
#[test]
fn variables_that_lead_to_the_primary_are_not_followed() {
    let pair = Pair::with_standby();
    pair.fill("second", 10);
    pair.ship();
    let mut trigger = pair.db2.command("triggerStandby");
    trigger.env("PGHOST", pair.db1.socket_dir()).env("PGPORT", pair.db1.port().to_string());
    let said = succeeds(trigger);
    assert!(said.contains("The server is open"), "{said}");
    assert!(!pair.db2.is_in_recovery().unwrap());
    assert_eq!(pair.db2.sql("select count(*) from second").unwrap(), "10");
}
