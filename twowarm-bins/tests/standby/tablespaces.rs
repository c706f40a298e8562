use std::fs;

use crate::pair::{Pair, fails, succeeds};

#[test]
fn a_tablespace_goes_where_it_is_mapped_and_never_onto_itself() {
    let pair = Pair::new();
    let (here, there) = (pair.db1.home().join("ts here"), pair.db2.home().join("ts there"));
    pair.db1.run_as().make_dir(&here, 0o700).unwrap();
    pair.db1.sql(&format!("create tablespace side location '{}'", here.display())).unwrap();
    pair.fill("first", 10);
    pair.db1.sql("create table aside tablespace side as select 7 as n").unwrap();
    succeeds(pair.db2.command("configStandby"));

    // Both nodes are on one machine, and the same path there is the source's own.
    let said = fails(pair.db1.command("copyToStandby"), 2);
    assert!(said.contains("ts here is the source itself"), "{said}");

    let map = format!("[node.db2.tablespaces]\n\"{}\" = \"{}\"", here.display(), there.display());
    pair.db1.append_settings(&map).unwrap();
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("aside", 1);
    let links = fs::read_dir(pair.db2.pgdata().join("pg_tblspc")).unwrap();
    let targets: Vec<_> = links.map(|l| fs::read_link(l.unwrap().path()).unwrap()).collect();
    assert_eq!(targets, [there]);
    assert_eq!(pair.db1.sql("select n from aside").unwrap(), "7");
}
