use std::fs;
use std::path::PathBuf;

use twowarm_core::testbed::{Node, finish, wait_until};

use crate::copies::sum;
use crate::pair::{LIMIT, Pair, names, succeeds, wait_for_rows};

/// The directory of the configuration files, which Debian has in /etc/postgresql.
fn etc_of(node: &Node) -> PathBuf {
    let etc = node.home().join("etc");
    if !etc.exists() {
        node.run_as().make_dir(&etc, 0o755).unwrap();
    }
    etc
}

/// Starts the server as Debian's pg_ctlcluster does, or by the directory of its configuration.
fn start(node: &Node, etc: &PathBuf, by_option: bool) {
    let log = node.home().join("pg_ctl.log");
    let mut command = node.program(node.install().program("pg_ctl"));
    command.args(["start", "-s", "-l"]).arg(&log).arg("-D");
    if by_option {
        command.arg(node.pgdata());
        command.args(["-o", &format!("-c config_file={}/postgresql.conf", etc.display())]);
    } else {
        command.arg(etc);
    }
    finish(command.arg("-W")).unwrap();
    let is_up = || node.client().is_ok();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the server to start", LIMIT, is_up).unwrap_or_else(|e| panic!("{e}\n{}", said()));
}

fn works(by_option: bool) {
    let pair = Pair::new();
    let (db1, db2) = (&pair.db1, &pair.db2);
    pair.fill("first", 3000);
    db1.pg_ctl(&["stop", "-m", "fast", "-w"]).unwrap();
    for node in [db1, db2] {
        let etc = etc_of(node);
        let (hba, ident) = (etc.join("pg_hba.conf"), etc.join("pg_ident.conf"));
        let conf: String = match fs::read_to_string(node.pgdata().join("postgresql.conf")) {
            Ok(conf) => conf,
            Err(_) => fs::read_to_string(node.local().join("postgresql.conf")).unwrap(),
        };
        let paths = format!(
            "data_directory = '{}'\nhba_file = '{}'\nident_file = '{}'\nlog_directory = '{}'\n",
            node.pgdata().display(),
            hba.display(),
            ident.display(),
            node.home().join("log").display()
        );
        node.run_as().write(&etc.join("postgresql.conf"), conf + &paths).unwrap();
        node.run_as().write(&hba, "local all all trust\n").unwrap();
        node.run_as().write(&ident, "").unwrap();
        for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
            let _ = fs::remove_file(node.pgdata().join(name));
        }
        fs::remove_file(node.local().join("postgresql.conf")).ok();
        // As the previous start of a server there would have left it.
        let line = format!("/pg/postgres \"-D\" \"{}\"\n", etc.display());
        node.run_as().write(&node.pgdata().join("postmaster.opts"), line).unwrap();
    }
    let (etc1, etc2) = (etc_of(db1), etc_of(db2));
    start(db1, &etc1, by_option);
    let said = succeeds(db2.command("configStandby"));
    assert!(!said.contains("WARNING"), "{said}");
    let said = succeeds(db1.command("copyToStandby"));
    assert!(!said.contains("WARNING"), "{said}");
    let saved = fs::read_to_string(db1.local().join("postgresql.conf")).unwrap();
    assert!(saved.contains("data_directory = "), "{saved}");
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        assert!(!names(&db2.pgdata()).contains(&name.to_owned()), "{name} is not in PGDATA");
    }
    start(db2, &etc2, by_option);
    pair.fill("second", 2000);
    pair.ship();
    wait_for_rows(db2, "second", 2000);
    assert!(db2.is_in_recovery().unwrap());
    db1.pg_ctl(&["stop", "-m", "fast", "-w"]).unwrap();
    succeeds(db2.command("triggerStandby"));
    assert_eq!(sum(db2, "first").split('|').next(), Some("3000"));

    // And back: db1 has the primary's configuration in 2warm/local now, which its server does not read.
    let mut overwrite = db1.command("configStandby");
    overwrite.arg("--overwrite");
    succeeds(overwrite);
    succeeds(db2.command("copyToStandby"));
    start(db1, &etc1, by_option);
    wait_for_rows(db1, "second", 2000);
}

#[test]
fn a_configuration_outside_the_data_directory_named_by_config_file() {
    works(true);
}

#[test]
fn a_configuration_outside_the_data_directory_that_names_it() {
    works(false);
}

#[test]
fn a_dr_node_with_its_configuration_outside_the_data_directory() {
    let trio = crate::copies::Trio::new();
    let db3 = &trio.db3;
    let etc = etc_of(db3);
    let conf = fs::read_to_string(db3.local().join("postgresql.conf")).unwrap();
    let hba = etc.join("pg_hba.conf");
    let paths =
        format!("data_directory = '{}'\nhba_file = '{}'\n", db3.pgdata().display(), hba.display());
    db3.run_as().write(&hba, "local all all trust\n").unwrap();
    db3.run_as().write(&etc.join("postgresql.conf"), conf + &paths).unwrap();
    let line = format!("/pg/postgres \"-D\" \"{}\"\n", etc.display());
    db3.run_as().write(&db3.pgdata().join("postmaster.opts"), line).unwrap();
    succeeds(trio.pair.db1.command("copyToDR"));
    start(db3, &etc, true);
    wait_for_rows(db3, "first", 20_000);
}
