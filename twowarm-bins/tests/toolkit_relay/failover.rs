//! The DR node after a promotion.

use std::fs;

use twowarm_core::testbed::{StopMode, wait_until};

use crate::nodes::{LIMIT, Three, has_rows, holds, promote, relay_from, rsync_dr, said, ship};

#[test]
fn the_dr_node_follows_the_promoted_standby() {
    let mut three = Three::new();
    three.ship();
    three.relay();
    for _ in 0..2 {
        three.ship();
    }
    has_rows(&three.db2, 3);
    // The DR node has not got all of the old timeline.
    three.db1.stop(StopMode::Immediate).unwrap();
    three.db1.sshd().stop();
    let Three { db1, db2, db3 } = &mut three;
    db2.write_local("replication/archiving_active", "").unwrap();
    promote(db2);
    let first = ship(db2);
    assert!(holds(db3, "00000002.history") && holds(db3, &first));
    let owner = fs::read_to_string(db3.archive().join(".owner")).unwrap();
    assert!(owner.contains("timeline=2") && owner.contains("former="), "{owner}");
    // The last run on the node that is a primary now.
    relay_from(db2);
    has_rows(db3, 4);
    ship(db2);
    has_rows(db3, 5);
    relay_from(db2);
    assert!(!db3.log().contains("starting up after"), "without a restart");
    // The old primary comes back and archives.
    db1.write_local("replication/othernode", "db3\n").unwrap();
    db1.write_local("replication/drnode", "").unwrap();
    db1.start().unwrap();
    db1.sql("insert into t values (1)").unwrap();
    db1.switch_wal().unwrap();
    wait_until("the refusal", LIMIT, || db1.log().contains("which was promoted"))
        .unwrap_or_else(|error| panic!("{error}\n{}", db1.log()));
    let log = db1.log();
    assert!(
        log.contains("db3 refused: archive ") && log.contains("configStandby --rejoin"),
        "{log}"
    );
    ship(db2);
    has_rows(db3, 6);
}

/// The old primary comes back and archives to the node that was promoted.
#[test]
fn a_promoted_node_refuses_the_old_primary() {
    let three = Three::new();
    three.ship();
    has_rows(&three.db2, 1);
    promote(&three.db2);
    three.db2.sql("checkpoint").unwrap();
    let before = three.db1.log().len();
    three.db1.sql("insert into t values (1)").unwrap();
    three.db1.switch_wal().unwrap();
    wait_until("the refusal", LIMIT, || three.db1.log()[before..].contains("db2 refused")).unwrap();
    let log = three.db1.log();
    for words in ["continues an abandoned timeline", "configStandby --rejoin"] {
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn the_dr_node_fails_over_when_the_others_are_gone() {
    let mut three = Three::new();
    for _ in 0..3 {
        three.ship();
    }
    three.relay();
    has_rows(&three.db3, 3);
    for node in [&mut three.db1, &mut three.db2] {
        node.stop(StopMode::Immediate).unwrap();
        node.sshd().stop();
    }
    let output = three.db3.command("triggerStandby").arg("smart").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    three.db3.wait_for_promotion().unwrap();
    three.db3.sql("insert into t values (1)").unwrap();
    assert_eq!(three.db3.sql("select count(*) from t").unwrap(), "4");
}

/// db1 and db2 come back together. Their standby learns of the DR node's promotion, and refuses what its old primary writes.
#[test]
fn a_pair_that_comes_back_after_the_promotion_of_the_dr_node_is_stopped() {
    let mut three = Three::new();
    three.ship();
    three.relay();
    has_rows(&three.db3, 1);
    for node in [&mut three.db1, &mut three.db2] {
        node.stop(StopMode::Immediate).unwrap();
        node.sshd().stop();
    }
    let output = three.db3.command("triggerStandby").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for node in [&mut three.db1, &mut three.db2] {
        node.sshd().restart().unwrap();
    }
    three.db2.start_warm().unwrap();
    three.db1.start().unwrap();
    wait_until("the refusal", LIMIT, || {
        three.db1.sql("insert into t values (1)").unwrap();
        three.db1.switch_wal().unwrap();
        three.db1.log().contains("continues an abandoned timeline")
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", three.db1.log(), three.db2.log()));
    assert!(holds(&three.db2, "00000002.history"));
}

/// Its machine runs, and an earlier switchover has left an archive there.
#[test]
fn an_old_primary_that_crashed_gets_no_wal_that_the_dr_node_needs() {
    let three = Three::new();
    three.ship();
    three.relay();
    has_rows(&three.db2, 1);
    let Three { db1, db2, db3 } = &three;
    db1.run_as().make_dir(&db1.archive(), 0o700).unwrap();
    db1.stop(StopMode::Immediate).unwrap();
    let output = db2.command("triggerStandby").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let first = ship(db2);
    assert!(holds(db3, &first) && !holds(db1, &first) && !holds(db1, "00000002.history"));
    assert!(db2.log().contains("cannot follow timeline 2"), "{}", db2.log());
    has_rows(db3, 2);
}

/// db1's archive belongs to db2 meanwhile, and db2's to db1 again afterwards.
#[test]
fn the_dr_node_follows_a_switchover_and_the_way_back() {
    let three = Three::new();
    three.ship();
    three.relay();
    for (from, to) in [(&three.db1, &three.db2), (&three.db2, &three.db1)] {
        has_rows(to, from.sql("select count(*) from t").unwrap().parse().unwrap());
        let output = from.command("switchover").args(["--wait", "1"]).output().unwrap();
        assert!(output.status.success(), "{}\n{}", said(&output), to.log());
        from.start_warm().unwrap();
        ship(to);
        has_rows(from, to.sql("select count(*) from t").unwrap().parse().unwrap());
        // By cron on both.
        for node in [to, from] {
            relay_from(node);
        }
    }
    has_rows(&three.db3, 3);
    let owner = fs::read_to_string(three.db3.archive().join(".owner")).unwrap();
    assert!(owner.contains("timeline=3"), "{owner}");
}

/// The relay that follows notices the promotion, and sends what it had received before.
#[test]
fn a_relay_that_follows_notices_the_promotion() {
    let mut three = Three::new();
    three.ship();
    let mut following = rsync_dr(&three.db2).arg("--follow").spawn().unwrap();
    has_rows(&three.db3, 1);
    three.db3.sshd().stop();
    let names = [three.ship(), three.ship()];
    has_rows(&three.db2, 3);
    three.db1.stop(StopMode::Immediate).unwrap();
    three.db1.sshd().stop();
    promote(&three.db2);
    three.db3.sshd().restart().unwrap();
    wait_until("the segments of the old timeline", LIMIT, || {
        names.iter().all(|name| holds(&three.db3, name))
    })
    .unwrap();
    assert!(holds(&three.db3, "00000002.history"));
    let owner = fs::read_to_string(three.db3.archive().join(".owner")).unwrap();
    assert!(owner.contains("former="), "{owner}");
    three.db2.write_local("replication/archiving_active", "").unwrap();
    ship(&three.db2);
    has_rows(&three.db3, 4);
    following.kill().unwrap();
    following.wait().unwrap();
}

/// It gets the end of the old timeline from the new primary's archive, and the new one from the new standby's.
#[test]
fn a_switchover_while_the_dr_node_is_down() {
    let mut three = Three::new();
    three.ship();
    three.relay();
    three.ship();
    has_rows(&three.db2, 2);
    three.db3.sshd().stop();
    let switchover = |arguments: &[&str]| {
        three.db1.command("switchover").args(["--wait", "1"]).args(arguments).output().unwrap()
    };
    for arguments in [&["--dry-run"][..], &[]] {
        let refused = switchover(arguments);
        assert!(
            !refused.status.success() && said(&refused).contains("--without-dr"),
            "{refused:?}"
        );
        assert!(!three.db1.is_in_recovery().unwrap() && three.db2.is_in_recovery().unwrap());
    }
    let checked = switchover(&["--without-dr", "--dry-run"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let done = switchover(&["--without-dr"]);
    assert!(done.status.success(), "{}\n{}", said(&done), three.db2.log());
    assert!(said(&done).contains("db3, the DR node, is left out"), "{}", said(&done));
    three.db1.start_warm().unwrap();
    ship(&three.db2);
    has_rows(&three.db1, 3);
    three.db3.sshd().restart().unwrap();
    for node in [&three.db2, &three.db1] {
        relay_from(node);
    }
    has_rows(&three.db3, 3);
}

/// Regression: the hint was that of an old primary.
#[test]
fn a_relay_to_the_primary_is_refused() {
    let three = Three::new();
    three.ship();
    has_rows(&three.db2, 1);
    three.db2.write_local("replication/othernode", "db3\n").unwrap();
    three.db2.write_local("replication/drnode", "db1\n").unwrap();
    three.db1.run_as().make_dir(&three.db1.archive(), 0o700).unwrap();
    let output = rsync_dr(&three.db2).output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    for words in ["db1 refused: ", "is the primary, not the DR node", "local/replication/drnode"] {
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

/// Their errors are reported to the administrator, so there must be none where nothing is wrong.
#[test]
fn relays_that_follow_say_nothing_during_a_switchover_and_the_way_back() {
    let three = Three::new();
    three.ship();
    let follow = |node| rsync_dr(node).arg("--follow").spawn().unwrap();
    let following = [&three.db1, &three.db2].map(follow);
    has_rows(&three.db3, 1);
    let mut rows = 1;
    for (from, to) in [
        (&three.db1, &three.db2),
        (&three.db2, &three.db1),
        (&three.db1, &three.db2),
        (&three.db2, &three.db1),
    ] {
        has_rows(to, rows);
        let output = from.command("switchover").args(["--wait", "1"]).output().unwrap();
        assert!(output.status.success(), "{}\n{}", said(&output), to.log());
        from.start_warm().unwrap();
        ship(to);
        rows += 1;
        has_rows(from, rows);
        has_rows(&three.db3, rows);
    }
    for mut child in following {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(said(&output), "");
    }
}
