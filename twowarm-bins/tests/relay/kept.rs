//! What the DR node keeps for the standby.

use twowarm_core::archive::Archive;
use twowarm_core::testbed::{Node, wait_until};

use crate::trio::{LIMIT, Trio, holds, start_standby};

/// Commits a row in a segment that also contains a checkpoint, and waits until it is archived.
fn ship(trio: &Trio) -> String {
    trio.db1.sql("insert into t values (1)").unwrap();
    trio.db1.sql("checkpoint").unwrap();
    let name = trio.db1.switch_wal().unwrap();
    trio.db1.wait_until_archived(&name).unwrap();
    name
}

fn has_replayed(node: &Node, rows: usize) {
    let replayed =
        || node.sql("select count(*) from t").is_ok_and(|found| found == rows.to_string());
    wait_until("the segments to be replayed", LIMIT, replayed)
        .unwrap_or_else(|error| panic!("{error}\n{}", node.log()));
}

/// What the DR node keeps for the standby: the first segment, and the last one that was relayed.
fn kept(trio: &Trio) -> Option<(String, String)> {
    let consumers = Archive::open(&trio.db3.archive()).unwrap().consumers().unwrap();
    let found = consumers.into_iter().find(|consumer| consumer.name == "db2")?;
    Some((found.floor.unwrap().to_string(), found.last.unwrap().to_string()))
}

/// The DR node is a standby too, and removes from its archive what it has replayed.
#[test]
fn relayed_segments_are_kept_until_the_standby_has_fetched_them() {
    let mut trio = Trio::without_directories();
    trio.copy_to(&trio.db2);
    trio.copy_to(&trio.db3);
    trio.standby_fetches();
    let Trio { db1, db2, db3, .. } = &mut trio;
    start_standby(db3);
    // For the whole test: db1 can't reach it.
    db2.sshd().stop();
    db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
    db1.start().unwrap();
    db1.sql("create table t (n int)").unwrap();

    let mut names: Vec<String> = (0..5).map(|_| ship(&trio)).collect();
    // The restart point of the DR node is now in the last of these, and the next restore prunes.
    has_replayed(&trio.db3, names.len());
    trio.db3.sql("checkpoint").unwrap();
    names.extend([ship(&trio), ship(&trio)]);
    has_replayed(&trio.db3, names.len());
    assert_eq!(kept(&trio).unwrap(), (names[0].clone(), names[6].clone()));
    assert!(names.iter().all(|name| holds(&trio.db3, name)));

    start_standby(&trio.db2);
    has_replayed(&trio.db2, names.len());
    wait_until("nothing to be kept any more", LIMIT, || kept(&trio).is_none()).unwrap();
    ship(&trio);
    wait_until("the DR node to prune", LIMIT, || !holds(&trio.db3, &names[0])).unwrap();
    assert!(!holds(&trio.db3, &names[3]));
    // What its own standby needs is still there.
    assert!(holds(&trio.db3, &names[6]));
    has_replayed(&trio.db2, names.len() + 1);
    wait_until("nothing to be kept any more", LIMIT, || kept(&trio).is_none()).unwrap();
}
