//! Switchover and switchback under a load, without a base copy.

use crate::load::Load;
use crate::site::{Site, is_streamed, missing, run};

fn round_trips(site: &Site, rounds: u32) {
    let copies = site.copies();
    let load = Load::start(&[&site.db1, &site.db2]);
    for round in 0..rounds {
        let (from, to) = match round % 2 {
            0 => (&site.db1, &site.db2),
            _ => (&site.db2, &site.db1),
        };
        load.goes_on();
        let said = run(from, "switchover", &["--wait", "0"]);
        assert!(said.contains("The server of this node was started"), "{said}");
        assert_eq!(site.roles().0.name(), to.name(), "{said}");
        assert_eq!(to.timeline().unwrap(), round + 2);
        site.is_healthy(&load);
    }
    site.is_healthy(&load);
    let rows = load.stop();
    for node in [&site.db1, &site.db2] {
        println!("{}: {} rows were acknowledged", node.name(), rows.len());
    }
    let (primary, standby) = site.roles();
    assert_eq!(missing(primary, &rows), [0; 0]);
    assert!(standby.is_in_recovery().unwrap());
    assert!(site.copies().iter().all(|name| copies.contains(name)), "{:?}", site.copies());
}

#[test]
fn ten_switchovers_in_a_row_lose_no_row() {
    round_trips(&Site::new("standby"), 10);
}

#[test]
fn four_switchovers_in_a_row_in_warm_mode_lose_no_row() {
    round_trips(&Site::new("warm"), 4);
}

/// The standby has WAL before its archive does, also that of the shutdown.
#[test]
fn four_switchovers_in_a_row_with_a_standby_that_streams_lose_no_row() {
    let site = Site::streaming();
    is_streamed(&site.db1);
    round_trips(&site, 4);
    is_streamed(&site.db1);
}
