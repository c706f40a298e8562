//! `scripts/install`, which `make install` calls, while a server uses the commands.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use twowarm_core::testbed::{COMMANDS, names_in};

fn install(from: &Path, pgroot: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install");
    Command::new(script).args([from, pgroot]).output().unwrap()
}

/// A directory like cargo's with all commands. One of them, configFacts, is real.
fn built(dir: &Path) -> PathBuf {
    let from = dir.join("built");
    fs::create_dir(&from).unwrap();
    let cargo_built = Path::new(env!("CARGO_BIN_EXE_configFacts")).parent().unwrap();
    for name in COMMANDS.into_iter().chain(["pg_standby"]) {
        fs::write(from.join(name), "#!/bin/sh\n").unwrap();
    }
    fs::copy(cargo_built.join("configFacts"), from.join("configFacts")).unwrap();
    // A binary of an older version.
    fs::write(from.join("configSetup"), "not to be installed").unwrap();
    from
}

/// An installation, and a newer archiveWALFile that is not installed yet.
fn installed_and_newer(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (from, pgroot) = (built(dir), dir.join("pgroot"));
    fs::create_dir(&pgroot).unwrap();
    assert!(install(&from, &pgroot).status.success());
    fs::write(from.join("archiveWALFile"), "a newer one").unwrap();
    let target = pgroot.join("2warm/global/replication");
    (from, pgroot, target)
}

#[test]
fn a_command_that_runs_all_the_time_never_fails_while_it_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let (from, pgroot) = (built(dir.path()), dir.path().join("pgroot"));
    fs::create_dir(&pgroot).unwrap();
    let output = install(&from, &pgroot);
    assert!(output.status.success(), "{output:?}");
    let local = pgroot.join("2warm/local");
    fs::write(local.join("environment.sh"), "PGDATA=/mine\n").unwrap();
    let target = pgroot.join("2warm/global/replication");
    let command = target.join("configSetup");
    // In an older version configSetup was a binary that did not need configFacts.
    fs::remove_file(target.join("configFacts")).unwrap();
    fs::remove_file(&command).unwrap();
    // Not in this process: children of other tests would inherit the file while it is open for writing.
    let copied = Command::new("cp").arg(from.join("configFacts")).arg(&command).status();
    assert!(copied.unwrap().success());
    let before = fs::metadata(&command).unwrap().ino();

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) || calls == 0 {
                let output = Command::new(&command).arg("--version").output().unwrap();
                assert!(output.status.success(), "{output:?}");
                assert!(output.stdout.starts_with(b"configSetup"), "an empty file: {output:?}");
                calls += 1;
            }
        });
        let outputs: Vec<_> = (0..3).map(|_| install(&from, &pgroot)).collect();
        over.store(true, Ordering::Relaxed);
        calls.join().unwrap();
        outputs.iter().for_each(|output| assert!(output.status.success(), "{output:?}"));
    });

    let after = fs::metadata(&command).unwrap();
    assert!(after.ino() != before && after.permissions().mode() & 0o777 == 0o755);
    assert!(fs::read(&command).unwrap().starts_with(b"#!/bin/sh\n"));
    assert_eq!(names_in(&target).len(), COMMANDS.len() + 1, "{:?}", names_in(&target));
    assert_eq!(fs::read_to_string(local.join("environment.sh")).unwrap(), "PGDATA=/mine\n");
    assert!(local.join("replication").is_dir());
}

/// Otherwise a standby whose restoreWALFile is still the script of 2warm would end recovery.
#[test]
fn nothing_is_replaced_where_the_new_commands_could_not_read_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (from, pgroot, target) = installed_and_newer(dir.path());
    let environment = pgroot.join("2warm/local/environment.sh");
    fs::write(&environment, "export PGDATA=`pwd`\n").unwrap();
    let output = install(&from, &pgroot);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("nothing was installed"), "{output:?}");
    assert!(said.contains("environment.sh"), "{said}");
    assert!(fs::read(target.join("archiveWALFile")).unwrap() != b"a newer one");
    assert_eq!(names_in(&target).len(), COMMANDS.len() + 1, "{:?}", names_in(&target));
    fs::write(&environment, "export PGDATA=/data\n").unwrap();
    assert!(install(&from, &pgroot).status.success());
}

#[test]
fn all_commands_are_installed_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (from, pgroot, target) = installed_and_newer(dir.path());
    fs::write(from.join("triggerStandby"), "").unwrap();
    let output = install(&from, &pgroot);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("triggerStandby"), "{output:?}");
    assert!(fs::read(target.join("archiveWALFile")).unwrap() != b"a newer one");
    assert_eq!(names_in(&target).len(), COMMANDS.len() + 1, "{:?}", names_in(&target));
    assert!(!install(&from, &dir.path().join("nowhere")).status.success());
}
