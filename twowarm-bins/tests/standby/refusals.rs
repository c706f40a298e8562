use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use twowarm_core::testbed::StopMode;

use crate::pair::{Pair, fails, succeeds};

fn archiving_is_off(pair: &Pair) -> bool {
    !pair.db1.local().join("replication/archiving_active").exists()
}

#[test]
fn a_target_that_is_not_prepared_or_not_ours_is_refused() {
    let pair = Pair::new();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("run configStandby there"), "{said}");

    succeeds(pair.db2.command("configStandby"));
    pair.db2.run_as().write(&pair.db2.pgdata().join("thesis.tex"), "").unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("(thesis.tex)"), "{said}");
    fs::remove_file(pair.db2.pgdata().join("thesis.tex")).unwrap();

    fs::remove_dir_all(pair.db2.archive()).unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("archive directory") && said.contains("configStandby"), "{said}");
    assert!(archiving_is_off(&pair));
}

#[test]
fn a_running_standby_is_refused_and_stays_up() {
    let pair = Pair::with_standby();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("a server is running in") && said.contains("db2"), "{said}");
    let said = fails(pair.db2.command("copyToStandby"), 1);
    assert!(said.contains("run copyToStandby on the primary"), "{said}");
    pair.ship();
    pair.wait_for_rows("first", 1000);
}

#[test]
fn the_source_itself_is_refused_under_another_name() {
    let pair = Pair::new();
    let line = format!("PGDATA={}\n", pair.db1.pgdata().display());
    pair.db2.write_local("environment.sh", line).unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("is the source of the copy"), "{said}");
    assert_eq!(pair.db1.sql("select 1").unwrap(), "1");
    assert!(archiving_is_off(&pair));
}

#[test]
fn settings_that_ship_nothing_are_named() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    pair.db1.append_conf("archive_command = 'true'").unwrap();
    pair.db1.sql("select pg_reload_conf()").unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("archive_command is \"true\"") && said.contains("reload"), "{said}");
    pair.db1.append_conf("archive_command = '../elsewhere/archiveWALFile %p %f'").unwrap();
    pair.db1.sql("select pg_reload_conf()").unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    let missing = "data/../elsewhere/archiveWALFile\"";
    assert!(said.contains(missing) && said.contains("beside the data directory"), "{said}");
    pair.db1.append_conf("archive_mode = off").unwrap();
    pair.db1.stop(StopMode::Fast).unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("no server is running"), "{said}");
    pair.db1.start().unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("archive_mode is \"off\"") && said.contains("restart"), "{said}");
}

#[test]
fn a_far_archive_that_cannot_be_written_leaves_shipping_off() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    let owner = "system_identifier = 1\nnode_id = somebody-else\nlabel = x:/y\n";
    pair.db2.run_as().write(&pair.db2.archive().join(".owner"), owner).unwrap();
    let output = pair.db1.command("copyToStandby").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("archive"), "{said}");
    assert!(archiving_is_off(&pair));
    assert!(!pair.db2.pgdata().join("PG_VERSION").exists(), "nothing was copied");
}

#[test]
fn rsync_that_gets_to_another_machine_deletes_nothing_there() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    // If ssh leads to another machine, the same path there holds another marker file, or none.
    let bin = pair.db1.home().join("bin");
    pair.db1.run_as().make_dir(&bin, 0o755).unwrap();
    let marker = pair.db2.pgdata().join(".twowarm-copy");
    for elsewhere in ["sed -i s,^token,other,", "rm"] {
        let script = format!(
            "#!/bin/sh\nPATH=${{PATH#*:}}\ncase $* in *--sender*|*rsync*) {elsewhere} '{}';; esac\n\
             exec ssh \"$@\"\n",
            marker.display()
        );
        let ssh = bin.join("ssh");
        pair.db1.run_as().write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = pair.db1.command("copyToStandby");
        command.env("PATH", path);
        let said = fails(command, 1);
        assert!(said.contains("does not reach") && said.contains("ProxyJump"), "{said}");
        assert!(!pair.db2.pgdata().join("PG_VERSION").exists(), "nothing was copied");
        assert!(!pair.db1.pgdata().join(".twowarm-fetched").exists());
    }
    succeeds(pair.db1.command("copyToStandby"));
}

#[test]
fn links_inside_the_cluster_are_named() {
    let pair = Pair::new();
    succeeds(pair.db2.command("configStandby"));
    let moved = pair.db1.home().join("moved");
    pair.db1.stop(StopMode::Fast).unwrap();
    fs::rename(pair.db1.pgdata().join("pg_twophase"), &moved).unwrap();
    symlink(&moved, pair.db1.pgdata().join("pg_twophase")).unwrap();
    pair.db1.start().unwrap();
    let said = fails(pair.db1.command("copyToStandby"), 1);
    assert!(said.contains("data/pg_twophase)"), "{said}");
    assert!(archiving_is_off(&pair));
}
