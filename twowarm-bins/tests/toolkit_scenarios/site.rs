use std::fs;
use std::path::PathBuf;

use twowarm_core::testbed::{
    COMMANDS, FaultProxy, LIMIT, Node, Testbed, finish, names_in, wait_until,
};

use crate::load::Load;

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_switchover");

/// db1 and db2, a primary and its running standby, which reach each other through proxies.
pub struct Site {
    pub db1: Node,
    pub db2: Node,
    lines: [FaultProxy; 2],
}

impl Site {
    /// Both nodes use this mode as a standby.
    pub fn new(mode: &str) -> Site {
        Site::with(mode, false)
    }

    /// Each node streams from the other when it is a standby.
    pub fn streaming() -> Site {
        Site::with("standby", true)
    }

    fn with(mode: &str, streams: bool) -> Site {
        let bed = Testbed::new().unwrap();
        let [mut db1, mut db2] = ["db1", "db2"].map(|name| bed.node(name).unwrap());
        let lines = [&mut db1, &mut db2].map(|node| {
            prepare(node, mode);
            FaultProxy::to_sshd(node.sshd()).unwrap()
        });
        db1.reach_through(&db2, &lines[1]).unwrap();
        db2.reach_through(&db1, &lines[0]).unwrap();
        start_primary(&db1);
        be_empty(&db2);
        if streams {
            stream(&db2, &db1);
            stream(&db1, &db2);
        }
        run(&db2, "configStandby", &[]);
        run(&db1, "copyToStandby", &[]);
        db2.start_warm().unwrap();
        Site { db1, db2, lines }
    }

    /// The primary and the standby.
    pub fn roles(&self) -> (&Node, &Node) {
        let is_primary = |node: &Node| node.is_in_recovery().is_ok_and(|is| !is);
        match (is_primary(&self.db1), is_primary(&self.db2)) {
            (true, false) => (&self.db1, &self.db2),
            (false, true) => (&self.db2, &self.db1),
            both => panic!("primaries: {both:?}\n{}", self.logs()),
        }
    }

    /// Closes all connections between the nodes and lets no new one in, or ends that.
    pub fn cut_network(&self, cut: bool) {
        self.lines.iter().for_each(|line| line.refuse(cut));
    }

    /// The nodes on which a client can commit.
    pub fn open(&self) -> Vec<&str> {
        let nodes = [&self.db1, &self.db2].into_iter();
        let open = nodes.filter(|node| node.sql("insert into written values (1)").is_ok());
        open.map(Node::name).collect()
    }

    /// There is one primary, and its standby has every row that was acknowledged until now.
    pub fn is_healthy(&self, load: &Load) {
        load.goes_on();
        let known = load.acknowledged();
        let (primary, standby) = self.roles();
        assert_eq!(missing(primary, &known), [0; 0], "{}", self.logs());
        primary.switch_wal().unwrap();
        let last = known.last().copied().unwrap_or_default();
        let is_there = || latest(standby).is_some_and(|latest| latest >= last);
        wait_until(&format!("row {last} on {}", standby.name()), LIMIT, is_there)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        assert_eq!(missing(standby, &known), [0; 0], "{}", self.logs());
        assert!(standby.is_in_recovery().unwrap());
    }

    /// The backup history files of both archives: one for each base copy.
    pub fn copies(&self) -> Vec<String> {
        let archives = [&self.db1, &self.db2].map(Node::archive);
        let names = archives.iter().filter(|a| a.exists()).flat_map(|archive| names_in(archive));
        names.filter(|name| name.ends_with(".backup")).collect()
    }

    pub fn logs(&self) -> String {
        log(&self.db1) + &log(&self.db2)
    }
}

/// The log of a server that was started by start_command. The test bed's own belongs to another user.
fn start_log(node: &Node) -> PathBuf {
    node.home().join("start.log")
}

pub fn log(node: &Node) -> String {
    let started = fs::read_to_string(start_log(node)).unwrap_or_default();
    format!("{}:\n{}\n{started}\n", node.name(), node.relevant_log())
}

/// db1, db2 and db3, which reach each other. db3 is the DR node.
pub fn three(mode: &str) -> [Node; 3] {
    let bed = Testbed::new().unwrap();
    let mut nodes = ["db1", "db2", "db3"].map(|name| bed.node(name).unwrap());
    nodes.iter_mut().for_each(|node| prepare(node, mode));
    let [db1, db2, db3] = &nodes;
    // The last node that is reached is the other node.
    for (node, others) in [(db1, [db3, db2]), (db2, [db3, db1]), (db3, [db2, db1])] {
        others.into_iter().for_each(|other| node.reach(other).unwrap());
    }
    for node in [db1, db2] {
        node.write_local("replication/drnode", "db3\n").unwrap();
    }
    nodes
}

/// A node with sshd, commands and settings, whose server is started by start_command.
pub fn prepare(node: &mut Node, mode: &str) {
    node.start_sshd().unwrap();
    node.install_commands(BUILT, &COMMANDS).unwrap();
    let settings = fs::read_to_string(node.local().join("2warm.toml")).unwrap();
    let start = format!(
        "mode = \"{mode}\"\ntime_limit = 10\n[server]\nconnect_limit = 10\nstart_command = [\"{}\", \"-w\", \"-D\", \"{}\", \"-l\", \"{}\", \"start\"]\n",
        node.install().program("pg_ctl").display(),
        node.pgdata().display(),
        start_log(node).display()
    );
    node.write_local("2warm.toml", settings.replace("[server]\n", &start)).unwrap();
}

/// Creates a cluster that archives, and starts it.
pub fn start_primary(node: &Node) {
    node.initdb_small_segments().unwrap();
    node.append_conf(&node.archiving_conf().unwrap()).unwrap();
    node.start().unwrap();
    node.sql("create table load (id bigint); create table written (n int)").unwrap();
}

/// Creates an empty data directory, and `local/postgresql.conf` for a server in it.
pub fn be_empty(node: &Node) {
    node.run_as().make_dir(&node.pgdata(), 0o700).unwrap();
    let conf = [node.own_conf(), node.small_conf(), node.archiving_conf()];
    let conf: String = conf.into_iter().map(Result::unwrap).collect();
    node.write_local("postgresql.conf", conf).unwrap();
}

/// Makes a node stream from another one when it is a standby.
pub fn stream(node: &Node, from: &Node) {
    let (socket, port) = (from.socket_dir(), from.port());
    let setting = format!(
        "primary_conninfo = 'host={} port={port} user={}'\n",
        socket.display(),
        from.run_as().user()
    );
    if !node.install().major().unwrap().has_recovery_signal() {
        node.run_as().write(&node.global().join("recovery.conf"), setting).unwrap();
    } else if node.pgdata().join("PG_VERSION").exists() {
        node.append_conf(&setting).unwrap();
    } else {
        let own = fs::read_to_string(node.local().join("postgresql.conf")).unwrap();
        node.write_local("postgresql.conf", own + &setting).unwrap();
    }
}

/// Waits until a standby streams from this node.
pub fn is_streamed(node: &Node) {
    let question = "select count(*) from pg_stat_replication where state = 'streaming'";
    wait_until("a standby to stream", LIMIT, || node.sql(question).is_ok_and(|n| n != "0"))
        .unwrap_or_else(|error| panic!("{error}\n{}", log(node)));
}

/// Runs a command that must succeed; returns what it printed.
pub fn run(node: &Node, name: &str, arguments: &[&str]) -> String {
    finish(node.command(name).args(arguments))
        .unwrap_or_else(|error| panic!("{error}\n{}", log(node)))
}

/// Runs a command that must fail with exit code 1; returns its messages.
pub fn fails(node: &Node, name: &str, arguments: &[&str]) -> String {
    let output = node.command(name).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// The last row that a node shows.
pub fn latest(node: &Node) -> Option<u64> {
    node.sql("select coalesce(max(id), 0) from load").ok()?.parse().ok()
}

/// Those of these rows that a node does not show.
pub fn missing(node: &Node, rows: &[u64]) -> Vec<u64> {
    let shown = node.sql("select id from load").unwrap();
    let shown: std::collections::HashSet<u64> =
        shown.lines().map(|id| id.parse().unwrap()).collect();
    rows.iter().copied().filter(|id| !shown.contains(id)).collect()
}
