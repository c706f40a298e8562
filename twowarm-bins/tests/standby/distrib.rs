use std::fs;

use twowarm_core::testbed::Testbed;

use crate::pair::{fails, names, succeeds};

#[test]
fn the_installation_arrives_and_the_nodes_own_files_stay_apart() {
    let bed = Testbed::new().unwrap();
    let (db1, db2) = bed.pair().unwrap();
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_distrib2warm")).parent().unwrap();
    db1.install_commands(built, &["distrib2warm", "configSetup"]).unwrap();
    db1.run_as().write(&db1.global().join("recovery.conf"), "# new\n").unwrap();
    for name in ["postgresql.conf", "replication/archiving_active", "replication/node_id", "key"] {
        db1.write_local(name, "db1's").unwrap();
    }
    let own = |name: &str| fs::read_to_string(db2.local().join(name)).unwrap();
    let before = [own("environment.sh"), own("2warm.toml"), own("replication/othernode")];
    db2.write_local("postgresql.conf", "db2's").unwrap();

    let said = succeeds(db1.command("distrib2warm"));
    assert!(said.contains("db2:") && said.contains("global/recovery.conf"), "{said}");
    assert_eq!(fs::read_to_string(db2.global().join("recovery.conf")).unwrap(), "# new\n");
    let after = [own("environment.sh"), own("2warm.toml"), own("replication/othernode")];
    assert_eq!(before, after);
    assert_eq!(own("postgresql.conf"), "db2's");
    assert_eq!(names(&db2.local().join("replication")), ["drnode", "othernode"]);
    assert!(!db2.local().join("key").exists());
    succeeds(db2.command("configSetup"));

    // To a node that has nothing yet.
    fs::remove_dir_all(db2.pgroot().join("2warm")).unwrap();
    succeeds(db1.command("distrib2warm"));
    assert_eq!(names(&db2.local()), ["replication"]);
    assert_eq!(names(&db2.local().join("replication")), [""; 0]);

    db1.write_local("replication/othernode", "").unwrap();
    let said = fails(db1.command("distrib2warm"), 2);
    assert!(said.contains("othernode"), "{said}");
}

#[test]
fn an_ssh_that_is_refused_says_so() {
    let bed = Testbed::new().unwrap();
    let (db1, mut db2) = bed.pair().unwrap();
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_distrib2warm")).parent().unwrap();
    db1.install_commands(built, &["distrib2warm"]).unwrap();
    db2.sshd().refuse(db1.copy_key()).unwrap();
    let said = fails(db1.command("distrib2warm"), 1);
    // rsync itself says one time that ssh failed, another time that its connection broke.
    assert!(said.contains("db2") && said.contains("Permission denied"), "{said}");
}
