//! A standby that streams (`primary_conninfo`) beside its archive.

use std::fs;

use twowarm_core::testbed::{LIMIT, StopMode, wait_until};

use crate::load::Load;
use crate::site::{is_streamed, latest, log, missing, run};
use crate::trio::Trio;

/// The standby has streamed WAL that its archive lacks when the primary crashes. It is in the archive after the failover,
/// so the third node, which only gets what is archived, has it too.
#[test]
fn a_failover_with_wal_that_was_only_streamed_and_a_third_node() {
    let mut trio = Trio::streaming();
    is_streamed(&trio.db1);
    trio.reach(&trio.db1, &trio.db2, None);
    trio.reach(&trio.db1, &trio.db3, Some(&trio.db2));
    // Nothing is archived any more, and the DR node gets nothing either.
    let settings = fs::read_to_string(trio.db1.local().join("2warm.toml")).unwrap();
    let hold = format!("{settings}[archive]\nwhen_standby_down = \"hold\"\n");
    trio.db1.write_local("2warm.toml", hold).unwrap();
    trio.db2.sshd().stop();
    let load = Load::start(&[&trio.db1]);
    for _ in 0..3 {
        load.goes_on();
        trio.db1.switch_wal().unwrap();
    }
    load.goes_on();
    let rows = load.stop();
    let last = rows.last().copied().unwrap();
    wait_until(&format!("row {last} by streaming"), LIMIT, || latest(&trio.db2) == Some(last))
        .unwrap_or_else(|error| panic!("{error}\n{}", trio.logs()));
    trio.db1.stop(StopMode::Immediate).unwrap();
    trio.db2.sshd().restart().unwrap();

    let said = run(&trio.db2, "triggerStandby", &[]);
    assert!(said.contains("from the server's WAL directory before the promotion"), "{said}");
    assert_eq!(missing(&trio.db2, &rows), [0; 0], "{said}");
    run(&trio.db2, "verifyArchive", &["--certify"]);
    trio.reach(&trio.db2, &trio.db3, Some(&trio.db2));
    assert_eq!(missing(&trio.db3, &rows), [0; 0], "{}", log(&trio.db3));
    assert_eq!(trio.db3.timeline().unwrap(), 2);
}

/// The third node follows a switchover and the way back.
#[test]
fn a_third_node_follows_a_pair_that_streams() {
    let trio = Trio::streaming();
    for (from, to) in [(&trio.db1, &trio.db2), (&trio.db2, &trio.db1)] {
        is_streamed(from);
        trio.reach(from, to, None);
        let load = Load::start(&[&trio.db1, &trio.db2]);
        load.goes_on();
        // The standby that relays has to have everything for the DR node.
        run(from, "switchover", &["--wait", "0"]);
        load.goes_on();
        let rows = load.stop();
        assert_eq!(missing(to, &rows), [0; 0]);
        trio.reach(to, from, None);
        for node in [to, from] {
            run(node, "rsyncDR", &[]);
        }
        trio.reach(to, &trio.db3, Some(from));
        assert_eq!(missing(&trio.db3, &rows), [0; 0], "{}", log(&trio.db3));
    }
    assert_eq!(trio.db3.timeline().unwrap(), 3);
}
