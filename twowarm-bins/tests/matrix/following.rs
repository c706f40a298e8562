use std::fs;

use twowarm_core::testbed::{COMMANDS, Node, PgInstall, StopMode, wait_until};

use crate::mode::{Mode, wait_until_writable};
use crate::pair::{LIMIT, Pair, make_empty, names, set_mode, succeeds, wait_for_rows};

/// A third node, copied from db1. The test fills its archive from db2's until db2 is promoted and ships to it.
fn third_node(pair: &Pair, mode: Mode) -> Node {
    let mut db3 = pair.db1.testbed().node("db3").unwrap();
    db3.start_sshd().unwrap();
    db3.install_commands(env!("CARGO_BIN_EXE_copyToStandby"), &COMMANDS).unwrap();
    make_empty(&db3);
    set_mode(&db3, mode.name());
    pair.db1.reach(&db3).unwrap();
    succeeds(db3.command("configStandby"));
    succeeds(pair.db1.command("copyToStandby"));
    // db1 ships to db2 from now on. db3's archive can accept a new sender once db1 has stopped sending to it.
    set_mode(&pair.db2, mode.name());
    succeeds(pair.db2.command("configStandby"));
    pair.db1.write_local("replication/othernode", "db2\n").unwrap();
    wait_until("db1 to stop shipping", LIMIT, || !pair.db1.runs("archiveWALFile")).unwrap();
    succeeds(db3.command("configStandby"));
    db3
}

/// Copies what is in db2's archive into db3's, as a relay would.
fn relay(pair: &Pair, db3: &Node) {
    for name in names(&pair.db2.archive()).iter().filter(|name| !name.starts_with('.')) {
        let place = db3.archive().join(name);
        if !place.exists() {
            let aside = db3.archive().join(format!(".{name}"));
            db3.run_as().write(&aside, fs::read(pair.db2.archive().join(name)).unwrap()).unwrap();
            fs::rename(aside, place).unwrap();
        }
    }
}

/// Promotes without our commands, where the server can (9.1 on).
fn promote(node: &Node) {
    if node.install().major().unwrap().has_standby_mode_promotion() {
        node.pg_ctl(&["promote", "-w", "-t", "60"]).unwrap();
    } else {
        node.run_as().write(&node.pgdata().join("trigger"), "").unwrap();
    }
}

#[test]
fn a_third_node_follows_the_promotion_of_the_second() {
    if !PgInstall::find().unwrap().major().unwrap().promotes_to_new_timeline() {
        // A promotion begins no new timeline before 8.3, so there is none to follow.
        return;
    }
    for &mode in Mode::all() {
        let pair = Pair::new();
        let major = pair.db1.install().major().unwrap();
        pair.fill("first", 1000);
        let db3 = third_node(&pair, mode);
        // db2 ships to db3 once it is promoted. Until then it keeps the segments that db3 may lack.
        pair.db2.reach(&db3).unwrap();
        pair.db2.write_local("replication/drnode", "db3\n").unwrap();
        pair.make_standby();
        pair.ship();
        relay(&pair, &db3);
        db3.start_warm().unwrap();
        pair.fill("second", 2000);
        pair.ship();
        relay(&pair, &db3);
        pair.wait_for_rows("second", 2000);
        wait_for_rows(&db3, "second", 2000);
        let server = db3.pid();

        pair.db1.stop(StopMode::Immediate).unwrap();
        pair.db2.write_local("replication/archiving_active", "").unwrap();
        promote(&pair.db2);
        wait_until_writable(&pair.db2);
        let create = "create table third as select n from generate_series(1, 3000) n";
        pair.db2.sql(create).unwrap();
        pair.db2.sql(major.switch_wal()).unwrap();
        if !major.names_unfinished_segments() {
            // Before 9.5 the first segment of the new timeline is archived by the second checkpoint.
            for _ in 0..2 {
                pair.db2.sql("checkpoint").unwrap();
                pair.db2.sql(major.switch_wal()).unwrap();
            }
        }

        if !mode.follows_without_restart() {
            let told = || db3.log().contains("restart the server");
            wait_until("db3 to ask for a restart", LIMIT, told).unwrap_or_else(|e| {
                panic!("{e}\n{}\n{}", db3.relevant_log(), pair.db2.relevant_log())
            });
            db3.stop(StopMode::Fast).unwrap();
            db3.start_warm().unwrap();
        }
        let arrived = || names(&db3.archive()).iter().any(|name| name.starts_with("00000002000"));
        wait_until("db2 to ship", LIMIT, arrived)
            .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
        wait_for_rows(&db3, "third", 3000);
        assert!(db3.is_in_recovery().unwrap());
        assert_eq!(db3.pid() == server, mode.follows_without_restart());

        // db3 continues to follow, and can be promoted itself.
        pair.db2.sql("create table fourth as select n from generate_series(1, 4000) n").unwrap();
        pair.db2.sql(major.switch_wal()).unwrap();
        let status = pair.db2.pgdata().join(major.wal_directory()).join("archive_status");
        let shipped = || !names(&status).iter().any(|name| name.ends_with(".ready"));
        wait_until("db2 to ship", LIMIT, shipped).unwrap();
        wait_for_rows(&db3, "fourth", 4000);
        pair.db2.stop(StopMode::Immediate).unwrap();
        succeeds(db3.command("triggerStandby"));
        wait_for_rows(&db3, "fourth", 4000);
        assert_eq!(db3.timeline().unwrap(), 3);
    }
}
