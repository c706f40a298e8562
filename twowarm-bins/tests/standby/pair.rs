use std::process::{Command, Output};

use twowarm_core::testbed::{COMMANDS, Node, Testbed, finish, wait_until};
pub use twowarm_core::testbed::{LIMIT, names_in as names};

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_copyToStandby");

/// A node with these commands and nothing else.
pub fn node_with(commands: &[&str]) -> Node {
    let node = Testbed::new().unwrap().node("db2").unwrap();
    node.install_commands(BUILT, commands).unwrap();
    node
}

/// db1 and db2, which reach each other, with these commands on each.
pub fn nodes_with(on_db1: &[&str], on_db2: &[&str]) -> (Node, Node) {
    let (db1, db2) = Testbed::new().unwrap().pair().unwrap();
    for (node, commands) in [(&db1, on_db1), (&db2, on_db2)] {
        node.install_commands(BUILT, commands).unwrap();
    }
    (db1, db2)
}

/// db1 is a running primary whose archive_command is ours, db2 an empty data directory.
pub struct Pair {
    pub db1: Node,
    pub db2: Node,
}

impl Pair {
    pub fn new() -> Pair {
        let (db1, db2) = nodes_with(&COMMANDS, &COMMANDS);
        db1.initdb_small_segments().unwrap();
        db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
        db1.start().unwrap();
        make_empty(&db2);
        Pair { db1, db2 }
    }

    /// With a running standby in warm mode.
    pub fn with_standby() -> Pair {
        Pair::with_standby_in("warm")
    }

    /// With a running standby in this mode.
    pub fn with_standby_in(mode: &str) -> Pair {
        let pair = Pair::new();
        set_mode(&pair.db2, mode);
        pair.fill("first", 1000);
        pair.make_standby();
        pair
    }

    /// Makes db2 a standby and starts it.
    pub fn make_standby(&self) {
        succeeds(self.db2.command("configStandby"));
        succeeds(self.db1.command("copyToStandby"));
        self.db2.start_warm().unwrap();
    }

    /// Creates a table with this many rows on db1.
    pub fn fill(&self, table: &str, rows: u32) {
        let text = format!(
            "create table {table} as select n, md5(n::text) from generate_series(1, {rows}) n"
        );
        self.db1.sql(&text).unwrap();
    }

    /// Waits until everything that db1 has written so far is in db2's archive.
    pub fn ship(&self) {
        self.db1.sql("drop table if exists shipped; create table shipped (n int)").unwrap();
        let major = self.db1.install().major().unwrap();
        let last = self.db1.sql(major.current_wal_file()).unwrap();
        self.db1.sql(major.switch_wal()).unwrap();
        let place = self.db2.archive().join(&last);
        wait_until(&format!("{last} to arrive"), LIMIT, || place.exists())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.db1.relevant_log()));
    }

    /// Waits until db2 shows this many rows; see [`wait_for_rows`].
    pub fn wait_for_rows(&self, table: &str, rows: u32) {
        wait_for_rows(&self.db2, table, rows);
    }
}

/// Waits until a node shows this many rows. A standby before 9.0 can't be queried: then waits until it has restored
/// all segments that have arrived.
pub fn wait_for_rows(node: &Node, table: &str, rows: u32) {
    let hot = node.install().major().unwrap().has_hot_standby();
    if !hot && node.is_in_recovery().unwrap() {
        let is_segment = |name: &String| name.len() == 24;
        let last = names(&node.archive()).into_iter().rfind(is_segment).unwrap();
        return node.wait_until_restored(&last).unwrap();
    }
    let question = format!("select count(*) from {table}");
    wait_until(&format!("{rows} rows of {table}"), LIMIT, || {
        node.sql(&question).is_ok_and(|count| count == rows.to_string())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", node.relevant_log()));
}

/// Creates an empty data directory, and `local/postgresql.conf` for a server in it.
pub fn make_empty(node: &Node) {
    node.run_as().make_dir(&node.pgdata(), 0o755).unwrap();
    let conf = [node.own_conf(), node.small_conf(), node.archiving_conf()];
    let conf: String = conf.into_iter().map(Result::unwrap).collect();
    node.write_local("postgresql.conf", conf).unwrap();
}

/// Sets the mode of the node as a standby in `2warm.toml`; before 9.1 that is warm mode.
pub fn set_mode(node: &Node, mode: &str) {
    let mode = node.install().major().unwrap().mode_or_warm(mode);
    let before = std::fs::read_to_string(node.local().join("2warm.toml")).unwrap_or_default();
    let others: Vec<&str> = before.lines().filter(|line| !line.starts_with("mode =")).collect();
    node.write_local("2warm.toml", format!("mode = \"{mode}\"\n{}\n", others.join("\n"))).unwrap();
}

/// A command as a terminal starts it. A shell without job control starts a background program, such as this test,
/// with SIGINT ignored, and programs inherit that.
pub fn interactive(node: &Node, name: &str) -> Command {
    let mut command = node.program("env");
    command.arg("--default-signal").arg(node.global().join("replication").join(name));
    command.current_dir(node.pgdata());
    command
}

/// Runs a command that must succeed; returns what it printed.
pub fn succeeds(mut command: Command) -> String {
    finish(&mut command).unwrap()
}

/// Runs a command that must fail with this code; returns its only line on standard error.
pub fn fails(mut command: Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    let printed = String::from_utf8_lossy(&stdout).into_owned();
    assert_eq!(status.code(), Some(code), "{said}{printed}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    said
}
