//! The files that make a server a standby do so, in both modes, and its mode is recognized from them.
#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::fs;
use std::path::PathBuf;

use twowarm_core::data_directory::{RecoveryMode, RecoverySettings, recovery_settings};
use twowarm_core::standby::{RecoveryConfig, RecoverySource};
use twowarm_core::testbed::{LIMIT, Node, StopMode, Testbed, finish, wait_until};
use twowarm_core::version::PgMajor;

/// Waits for segments, not for history files.
const RESTORE: &str = "case $1 in\n\
    *.history) exec cp \"$3/$1\" \"$2\" ;;\n\
    esac\n\
    until test -f \"$3/$1\"; do sleep 0.05; done\n\
    exec cp \"$3/$1\" \"$2\"\n";

struct Cluster {
    primary: Node,
    standby: Node,
    archive: PathBuf,
    major: PgMajor,
    rounds: u32,
}

impl Cluster {
    /// A primary that archives, and a copy of its files.
    fn new() -> Cluster {
        let bed = Testbed::new().unwrap();
        let (primary, standby) = (bed.node("db1").unwrap(), bed.node("db2").unwrap());
        let archive = bed.dir().join("shipped");
        primary.initdb(&[]).unwrap();
        primary.archive_into(&archive).unwrap();
        primary.start().unwrap();
        primary.stop(StopMode::Fast).unwrap();
        standby.copy_of(&primary).unwrap();
        primary.start().unwrap();
        let major = bed.install().major().unwrap();
        Cluster { primary, standby, archive, major, rounds: 0 }
    }

    /// Makes the copy a standby and starts it.
    fn start_standby(&self, mode: RecoveryMode, more: &str) {
        let script = self.standby.home().join("restore.sh");
        self.standby.run_as().write(&script, RESTORE).unwrap();
        let (script, archive) = (script.display(), self.archive.display());
        let command = match more {
            "" => format!("exec sh {script} %f %p {archive}"),
            // A standby that also streams must not wait in restore_command.
            _ => format!("exec cp {archive}/%f %p"),
        };
        let text = format!("restore_command = '{command}'\n{more}");
        let source = RecoverySource {
            file: "recovery.conf".into(),
            mode: Some(mode),
            restore_command: String::new(),
        };
        let config = RecoveryConfig::parse(&text, &source, self.major).unwrap();
        assert_eq!(config.warning(), None);
        config.apply(&self.standby.pgdata()).unwrap();
        // The tests may run as root, the servers never do.
        let mut own = std::process::Command::new("chown");
        own.arg("-R").arg("--reference").arg(self.standby.home()).arg(self.standby.pgdata());
        finish(&mut own).unwrap();
        self.standby.start_warm().unwrap();
    }

    fn settings(&self) -> RecoverySettings {
        recovery_settings(&self.standby.pgdata()).unwrap()
    }

    /// Asserts that the standby shows a row that the primary writes now.
    fn replays(&mut self) {
        self.rounds += 1;
        let table = format!("round_{}", self.rounds);
        self.primary.sql(&format!("create table {table} as select 1")).unwrap();
        self.primary.sql(self.major.switch_wal()).unwrap();
        let question = format!("select count(*) from {table}");
        wait_until(&table, LIMIT, || self.standby.sql(&question).is_ok_and(|rows| rows == "1"))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.standby.relevant_log()));
        assert!(self.standby.is_in_recovery().unwrap());
    }

    /// Whether this is the last recovery mode that the server logged.
    fn says(&self, what: &str) -> bool {
        let log = self.standby.log();
        let said = ["entering standby mode", "starting archive recovery"];
        let last = log.lines().rev().find(|line| said.iter().any(|said| line.ends_with(said)));
        last.is_some_and(|line| line.ends_with(what))
    }
}

#[test]
fn a_servers_mode_is_what_its_files_say() {
    let mut cluster = Cluster::new();
    let standby =
        RecoverySettings { mode: RecoveryMode::Standby, streams: false, follows_latest: true };
    let warm = RecoverySettings { mode: RecoveryMode::Warm, streams: false, follows_latest: false };
    for mode in [RecoveryMode::Warm, RecoveryMode::Standby, RecoveryMode::Warm] {
        cluster.start_standby(mode, "");
        cluster.replays();
        if mode == RecoveryMode::Standby {
            assert_eq!(cluster.settings(), standby);
            assert!(cluster.says("entering standby mode"), "{}", cluster.standby.relevant_log());
        } else {
            assert_eq!(cluster.settings(), warm);
            assert!(
                cluster.says("starting archive recovery"),
                "{}",
                cluster.standby.relevant_log()
            );
        }
        cluster.standby.stop(StopMode::Fast).unwrap();
    }
    cluster.start_standby(RecoveryMode::Standby, "primary_conninfo = 'host=/nowhere'\n");
    assert_eq!(cluster.settings(), RecoverySettings { streams: true, ..standby });
    cluster.replays();
    cluster.standby.stop(StopMode::Fast).unwrap();

    cluster.start_standby(RecoveryMode::Standby, "");
    cluster.replays();
    let shown = |name: &str| cluster.standby.sql(&format!("show {name}")).ok();
    assert!(shown("wal_retrieve_retry_interval").is_none_or(|interval| interval == "200ms"));
    assert!(shown("recovery_prefetch").is_none_or(|prefetch| prefetch == "off"));
    fs::remove_dir_all(&cluster.archive).unwrap();
}
