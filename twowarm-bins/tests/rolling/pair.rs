use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub use twowarm_core::testbed::LIMIT;
use twowarm_core::testbed::{Node, StopMode, Testbed, finish, wait_until};

use crate::stand_ins::{CONFIG_SETUP, PG_STANDBY, SCRIPTS, text_of};

const ROWS: u64 = 1000;

/// A primary that ships and a standby that replays, by the scripts only.
pub struct Pair {
    pub db1: Node,
    pub db2: Node,
    pub rows: u64,
    _bed: Testbed,
}

impl Pair {
    pub fn new() -> Pair {
        let bed = Testbed::new().unwrap();
        let (db1, db2) = bed.pair().unwrap();
        db1.initdb_small_segments().unwrap();
        let archiving = "archive_mode = on\nfsync = off\n\
                         archive_command = '../2warm/global/replication/archiveWALFile %p %f'";
        db1.append_conf(archiving).unwrap();
        db1.start().unwrap();
        db1.sql("create table t as select 1 as n where false").unwrap();
        let segment = db1.sql("select pg_size_bytes(current_setting('wal_segment_size'))").unwrap();
        db1.stop(StopMode::Fast).unwrap();
        for (node, other) in [(&db1, &db2), (&db2, &db1)] {
            write_scripts(node, &segment);
            write_environment(node, other);
        }
        make_standby(&db1, &db2);
        db1.write_local("replication/archiving_active", "").unwrap();
        db1.start().unwrap();
        db2.start_warm().unwrap();
        let mut pair = Pair { db1, db2, rows: 0, _bed: bed };
        pair.flows();
        pair
    }

    /// Inserts rows and completes their segment; returns its name.
    pub fn write(&mut self) -> String {
        self.db1.sql(&format!("insert into t select generate_series(1, {ROWS})")).unwrap();
        self.rows += ROWS;
        self.db1.sql("select pg_walfile_name(pg_switch_wal())").unwrap()
    }

    /// Inserts rows and waits until their segment is in db2's archive.
    pub fn ship(&mut self) {
        let place = self.db2.archive().join(self.write());
        wait_until("the segment to arrive", LIMIT, || place.exists())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.db1.log()));
    }

    /// Inserts rows and waits until the standby shows them.
    pub fn flows(&mut self) {
        self.write();
        self.arrives();
    }

    /// Waits until the standby shows all rows.
    pub fn arrives(&self) {
        wait_until(&format!("{} rows on db2", self.rows), LIMIT, || self.seen() == Some(self.rows))
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.db1.log(), self.db2.log()));
    }

    /// How many rows db2 shows.
    pub fn seen(&self) -> Option<u64> {
        self.db2.sql("select count(*) from t").ok()?.parse().ok()
    }

    /// Runs the site's own script, which sources configSetup, on each node.
    pub fn own_scripts_work(&self) {
        for (node, other) in [(&self.db1, "db2"), (&self.db2, "db1")] {
            let said = finish(&mut node.command("nightly")).unwrap();
            let (root, data) = (node.pgroot(), node.pgdata());
            let (root, data) = (root.display(), data.display());
            assert_eq!(said, format!("{root} {data} {data}/archive {other} it's 3 o'clock\n"));
        }
    }
}

/// Replaces a command by ours with a rename, as an installation does.
pub fn replace(node: &Node, name: &str) {
    // A server that is still starting can't answer, but it calls restore_command already.
    let restores = || node.pid().is_some() && node.is_in_recovery().unwrap_or(true);
    if ["restoreWALFile", "pg_standby"].contains(&name) && restores() {
        // A shell that has started but not opened its script yet would read a binary instead.
        let waits =
            || ["sleep", "restoreWALFile", "pg_standby"].iter().any(|n| node.runs_program(n));
        wait_until("a call of restore_command to wait", LIMIT, waits).unwrap();
    }
    // configSetup needs configFacts.
    let names: &[&str] =
        if name == "configSetup" { &["configFacts", "configSetup"] } else { &[name] };
    let place = node.global().join("replication");
    let aside = node.global().join("replication/aside");
    for name in names {
        let from = match *name {
            "configSetup" => Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/configSetup"),
            "pg_standby" => pg_standby(),
            name => built().join(name),
        };
        place_by("cp \"$1\" \"$0\"", &aside, from.as_os_str());
        node.run_as().own(&aside).unwrap();
        fs::rename(&aside, place.join(name)).unwrap();
    }
}

/// Creates a program in a separate process. If this process wrote it, a child started by another test at that
/// moment would inherit the open file, and a file that is open for writing can't be executed.
fn place_by(command: &str, file: &Path, from: &OsStr) {
    let command = format!("{command} && chmod 755 \"$0\"");
    finish(Command::new("sh").args(["-c", &command]).arg(file).arg(from)).unwrap();
}

/// Puts the stand-in for a command back.
pub fn put_back(node: &Node, name: &str, segment: &str) {
    let body = SCRIPTS.iter().find(|(script, _)| *script == name).map(|(_, body)| text_of(body));
    let text = match name {
        "configSetup" => CONFIG_SETUP.to_owned(),
        "pg_standby" => PG_STANDBY.replace("SEGMENT", segment),
        _ => body.unwrap(),
    };
    let aside = node.global().join("replication/aside");
    place_by("printf %s \"$1\" > \"$0\"", &aside, text.as_ref());
    node.run_as().own(&aside).unwrap();
    fs::rename(&aside, node.global().join("replication").join(name)).unwrap();
}

fn write_scripts(node: &Node, segment: &str) {
    let scripts = SCRIPTS.iter().map(|(name, _)| *name);
    scripts.chain(["configSetup", "pg_standby"]).for_each(|name| put_back(node, name, segment));
}

fn write_environment(node: &Node, other: &Node) {
    let own = fs::read_to_string(node.local().join("2warm.toml")).unwrap();
    let port = own.lines().find_map(|line| line.strip_prefix("port = ")).unwrap();
    let ssh = format!(
        "ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o HostName=127.0.0.1 -p {port} -l {} -i {} -o UserKnownHostsFile={}",
        other.run_as().user(),
        node.key().private().display(),
        node.known_hosts().display()
    );
    let text = format!(
        "export PGDATA={}\nexport RSYNC_RSH='{ssh}'\nFAR_ARCHIVE={} # of the other node\nNIGHTLY_SAYS=\"it's 3 o'clock\"\n",
        node.pgdata().display(),
        other.archive().display()
    );
    node.write_local("environment.sh", text).unwrap();
}

/// Copies the stopped primary and configures the copy as a standby in warm mode, as 2warm does.
fn make_standby(db1: &Node, db2: &Node) {
    copy(db2, &db1.pgdata(), &db2.pgdata());
    let own = db2.own_conf().unwrap();
    let recovery = "restore_command = '../2warm/global/replication/restoreWALFile %f %p %r'\n\
                    recovery_end_command = 'rm trigger'\n";
    if db2.install().major().unwrap().has_recovery_signal() {
        db2.append_conf(&format!("{own}{recovery}")).unwrap();
        db2.run_as().write(&db2.pgdata().join("recovery.signal"), "").unwrap();
    } else {
        db2.append_conf(&own).unwrap();
        db2.run_as().write(&db2.pgdata().join("recovery.conf"), recovery).unwrap();
    }
    let sample = fs::read_to_string(db2.pgdata().join("postgresql.conf")).unwrap();
    if sample.contains("recovery_prefetch") {
        // Otherwise the server reads ahead before it replays what has arrived.
        db2.append_conf("recovery_prefetch = off").unwrap();
    }
    db2.append_conf("hot_standby = on").unwrap();
    db2.run_as().make_dir(&db2.archive(), 0o700).unwrap();
}

/// Copies a data directory.
pub fn copy(node: &Node, from: &Path, to: &Path) {
    finish(node.program("cp").arg("-a").args([from, to])).unwrap();
}

fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_configFacts")).parent().unwrap()
}

/// Builds pg_standby, which is in a package that cargo does not build for this test.
fn pg_standby() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "twowarm-pgstandby", "--bin", "pg_standby"]);
        cargo.arg("--target-dir").arg(built().parent().unwrap());
        if built().ends_with("release") {
            cargo.arg("--release");
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        finish(&mut cargo).unwrap();
    });
    built().join("pg_standby")
}
