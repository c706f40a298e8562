use std::fs;
use std::os::unix::fs::symlink;

use twowarm_core::testbed::{COMMANDS, StopMode, Testbed};

use crate::copies::{is_clean, sum};
use crate::pair::{Pair, make_empty, succeeds};

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_copyToDR");

#[test]
fn tablespaces_a_linked_pg_wal_checksums_large_segments_and_spaces_in_paths() {
    let (db1, db2) = Testbed::new().unwrap().pair().unwrap();
    for node in [&db1, &db2] {
        node.install_commands(BUILT, &COMMANDS).unwrap();
        node.run_as().make_dir(&node.home().join("my wal"), 0o700).unwrap();
        node.run_as().make_dir(&node.home().join("my archive"), 0o700).unwrap();
        let archive = node.home().join("my archive/in here");
        node.append_settings(&format!("[archive]\ndirectory = \"{}\"", archive.display())).unwrap();
    }
    let major = db1.install().major().unwrap();
    let wal = db1.home().join("my wal/pg_wal");
    // PGROOT too, as the commands on db2 are called by db1.
    let root = db2.home().join("my root");
    symlink(db2.pgroot(), &root).unwrap();
    let settings = fs::read_to_string(db1.local().join("2warm.toml")).unwrap();
    let (plain, spaced) = (db2.pgroot().display().to_string(), root.display().to_string());
    assert!(settings.contains(&plain), "{settings}");
    db1.write_local("2warm.toml", settings.replace(&plain, &spaced)).unwrap();
    succeeds(db1.command("distrib2warm"));
    let options: &[&str] = match major.has_segment_size_option() {
        true => &["--wal-segsize=64", "--data-checksums"],
        false => &[],
    };
    db1.initdb(options).unwrap();
    // initdb -X is new in 8.3.
    let linked = db1.pgdata().join(major.wal_directory());
    fs::rename(&linked, &wal).unwrap();
    symlink(&wal, &linked).unwrap();
    db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
    db1.start().unwrap();
    make_empty(&db2);
    if major.has_wal_size_settings() {
        let conf = fs::read_to_string(db2.local().join("postgresql.conf")).unwrap();
        db2.write_local("postgresql.conf", conf + "min_wal_size = 128MB\n").unwrap();
    }
    db2.run_as().make_dir(&db2.home().join("my wal/pg_wal"), 0o700).unwrap();
    let (here, there) = (db1.home().join("table space"), db2.home().join("other table space"));
    db1.run_as().make_dir(&here, 0o700).unwrap();
    db1.sql(&format!("create tablespace side location '{}'", here.display())).unwrap();
    let pair = Pair { db1, db2 };
    let map = format!("[node.db2.tablespaces]\n\"{}\" = \"{}\"", here.display(), there.display());
    pair.db1.append_settings(&map).unwrap();
    // Both are larger than what one rsync copies.
    pair.fill("large", 700_000);
    pair.db1
        .sql("create table aside tablespace side as select n, md5(n::text) from generate_series(1, 700000) n; create table small tablespace side as select 1 as n, md5('') as md5")
        .unwrap();

    succeeds(pair.db2.command("configStandby"));
    let wal = pair.db2.pgdata().join(major.wal_directory());
    fs::remove_dir_all(&wal).unwrap();
    symlink(pair.db2.home().join("my wal/pg_wal"), &wal).unwrap();
    succeeds(pair.db2.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    pair.db2.start_warm().unwrap();
    pair.db1.sql("update aside set md5 = md5(md5) where n % 7 = 0").unwrap();
    let last = pair.db1.sql(major.current_wal_file()).unwrap();
    pair.db1.sql(major.switch_wal()).unwrap();
    let arrived = pair.db2.home().join("my archive/in here").join(&last);
    twowarm_core::testbed::wait_until("the segment", crate::pair::LIMIT, || arrived.exists())
        .unwrap();
    let tables = ["large", "aside", "small"];
    let expected = tables.map(|table| sum(&pair.db1, table));
    pair.db1.stop(StopMode::Fast).unwrap();
    succeeds(pair.db2.command("triggerStandby"));
    assert_eq!(tables.map(|table| sum(&pair.db2, table)), expected);
    assert!(fs::symlink_metadata(&wal).unwrap().is_symlink());
    [&pair.db1, &pair.db2].into_iter().for_each(is_clean);
}
