use std::fs;
use std::path::Path;

use twowarm_core::testbed::StopMode;

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

    // Both nodes are on one machine, so the same path is the tablespace of the source.
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("ts here\" is the source of the copy"), "{said}");

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

    // A second tablespace is mapped to a directory that holds one of another cluster.
    pair.db2.stop(StopMode::Fast).unwrap();
    let (here, there) = (pair.db1.home().join("more"), pair.db2.home().join("taken"));
    pair.db1.run_as().make_dir(&here, 0o700).unwrap();
    pair.db1.sql(&format!("create tablespace more location '{}'", here.display())).unwrap();
    let map = |to: &Path| format!("\"{}\" = \"{}\"", here.display(), to.display());
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let goes_to = |to: &Path| {
        pair.db1.write_local("2warm.toml", format!("{settings}\n{}\n", map(to))).unwrap();
    };
    // Inside the source's directories, and around them: nothing may be deleted there.
    for bad in [here.join("below"), pair.db1.pgdata().join("base/below"), pair.db1.home().into()] {
        goes_to(&bad);
        let said = fails(pair.db1.command("copyToStandby"), 1);
        assert!(said.contains("is the source of the copy"), "{said}");
    }
    goes_to(&there);
    let version = fs::read_dir(&here).unwrap().next().unwrap().unwrap().file_name();
    let theirs = there.join(version).join("5");
    fs::create_dir_all(&theirs).unwrap();
    fs::write(theirs.join("1259"), "a table").unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("tablespace of another cluster"), "{said}");
    assert!(theirs.join("1259").exists());

    fs::remove_dir_all(&there).unwrap();
    pair.db1.sql("create table more tablespace more as select 8 as n").unwrap();
    // The second copy finds the target by the mapping alone: no server has created the links since.
    succeeds(pair.db1.command("copyToStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.ship();
    pair.wait_for_rows("more", 1);
}
