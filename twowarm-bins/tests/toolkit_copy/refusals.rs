use std::fs;

use crate::copies::{Trio, takes_backups_of_standbys};
use crate::pair::{Pair, fails};

#[test]
fn what_can_not_be_copied_to_a_dr_node_is_refused_by_name() {
    let trio = Trio::new();
    let Trio { pair, db3 } = &trio;
    let is_unchanged = || assert!(!db3.pgdata().join("PG_VERSION").exists(), "nothing was copied");

    let said = fails(pair.db2.command("copyToStandby"), 1);
    assert!(said.contains("run copyToStandby on the primary"), "{said}");

    if takes_backups_of_standbys(&pair.db2) {
        let owner = pair.db2.archive().join(".owner");
        let text = fs::read(&owner).unwrap();
        fs::remove_file(&owner).unwrap();
        let said = fails(pair.db2.command("copyToDR"), 1);
        assert!(said.contains("has not received any WAL"), "{said}");
        pair.db2.run_as().write(&owner, &text).unwrap();
        // db3's archive accepts the WAL of another primary only.
        let identifier = String::from_utf8(text.clone()).unwrap();
        let identifier = identifier.lines().nth(1).unwrap();
        let other = format!("version=1\n{identifier}\nnode_id=another\nlabel=x:/y\n");
        pair.db2.run_as().write(&db3.archive().join(".owner"), &other).unwrap();
        for node in [&pair.db1, &pair.db2] {
            let said = fails(node.command("copyToDR"), 1);
            assert!(said.contains("x:/y"), "{said}");
            is_unchanged();
        }
        fs::remove_file(db3.archive().join(".owner")).unwrap();
    } else {
        let said = fails(pair.db2.command("copyToDR"), 1);
        assert!(said.contains("run copyToDR on the primary"), "{said}");
    }

    let active = pair.db1.local().join("replication/archiving_active");
    fs::remove_file(&active).unwrap();
    let said = fails(pair.db1.command("copyToDR"), 1);
    assert!(said.contains("archiving is off") && said.contains("copyToStandby first"), "{said}");
    pair.db1.run_as().write(&active, "").unwrap();

    pair.db1.write_local("replication/drnode", "").unwrap();
    let said = fails(pair.db1.command("copyToDR"), 1);
    assert!(said.contains("no DR node") && said.contains("replication/drnode"), "{said}");
    // The standby as the DR node: it is running.
    pair.db1.write_local("replication/othernode", "").unwrap();
    pair.db1.write_local("replication/drnode", "db2\n").unwrap();
    let said = fails(pair.db1.command("copyToDR"), 1);
    assert!(said.contains("a server is running in"), "{said}");
    for bad in ["--dryrun", "--yes --yes", "x"] {
        let mut command = pair.db1.command("copyToDR");
        command.args(bad.split(' '));
        assert!(fails(command, 2).contains("[--dry-run] [--yes]"), "{bad}");
    }
    is_unchanged();
}

#[test]
fn a_dr_node_that_is_not_prepared_is_refused() {
    let pair = Pair::new();
    pair.db1.write_local("replication/othernode", "").unwrap();
    pair.db1.write_local("replication/drnode", "db2\n").unwrap();
    pair.db1.write_local("replication/archiving_active", "").unwrap();
    let said = fails(pair.db1.command("copyToDR"), 1);
    assert!(said.contains("run configStandby there"), "{said}");
}
