use std::fs;
use std::process::Output;

use twowarm_core::testbed::{StopMode, wait_until};

use crate::pair::{LIMIT, Pair, fails, set_mode, succeeds, wait_for_rows};

/// As in a 2warm of 2010: PGDATA comes from the login shell, which sshd does not use.
const SHELL: &str = ". ~/.bash_profile\numask 077\n[ -f ~/extra ] && . ~/extra\n";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Regression: each of these lines was an error, restoreWALFile stopped the standby with exit 200, and the commands
/// on the other node did not find the data directory.
#[test]
fn a_pair_works_whose_environment_sh_is_for_a_shell() {
    let pair = Pair::new();
    let (db1, db2) = (&pair.db1, &pair.db2);
    set_mode(db2, "warm");
    for node in [db1, db2] {
        node.write_local("environment.sh", SHELL).unwrap();
    }
    pair.fill("first", 100);
    // Nothing names the data directory, and $PGROOT/data may be wrong if a shell would set another one.
    let mut nowhere = db2.program(db2.global().join("replication/configStandby"));
    nowhere.current_dir(db2.home());
    let output = nowhere.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("PGDATA is not known"), "{output:?}");

    let mut configure = db2.command("configStandby");
    let output = configure.env("PGDATA", db2.pgdata()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let warning = said(&output);
    assert_eq!(warning.lines().count(), 1, "{warning}");
    for part in
        ["WARNING", "line 1 (. ~/.bash_profile), line 2 (umask 077), line 3 ([ -f ~/extra ])"]
    {
        assert!(warning.contains(part), "{warning}");
    }
    // From here on, commands started by sshd use the path that configStandby has noted.
    succeeds(db1.command("copyToStandby"));
    db2.start_warm().unwrap();
    pair.fill("second", 1000);
    pair.ship();
    wait_for_rows(db2, "second", 1000);

    // restoreWALFile notes it too, after a restart of the server.
    let memory = db2.local().join("replication/data_directory");
    let noted = fs::read_to_string(&memory).unwrap();
    assert_eq!(noted, format!("{}\n", db2.pgdata().display()));
    fs::remove_file(&memory).unwrap();
    db2.stop(StopMode::Fast).unwrap();
    db2.start_warm().unwrap();
    wait_until("the data directory to be noted", LIMIT, || memory.exists())
        .unwrap_or_else(|error| panic!("{error}\n{}", db2.relevant_log()));
    assert_eq!(fs::read_to_string(&memory).unwrap(), noted);
    pair.fill("third", 1000);
    pair.ship();
    wait_for_rows(db2, "third", 1000);
    for node in [db1, db2] {
        assert!(!node.log().contains("lines are ignored"), "{}", node.log());
    }
}

/// Regression: the variable was taken as empty, so that PGDATA became /data.
#[test]
fn a_variable_that_is_not_set_is_an_error_that_names_it() {
    let pair = Pair::new();
    let db2 = &pair.db2;
    let environment = "umask 077\nPGDATA=$PGDIR/data\nARCHIVE=$(cat x)\n";
    db2.write_local("environment.sh", environment).unwrap();
    let said = fails(db2.command("configStandby"), 1);
    for part in ["line 2: PGDIR is not set", "line 3: \"$(cat x)\"", "line 1 (umask 077)"] {
        assert!(said.contains(part), "{said}");
    }
    db2.write_local("environment.sh", "PGDATA=$PGROOT/data\nARCHIVE=${LOCAL}../archive\n").unwrap();
    succeeds(db2.command("configStandby"));
    assert!(db2.pgroot().join("2warm/archive/.archive").exists());
}
