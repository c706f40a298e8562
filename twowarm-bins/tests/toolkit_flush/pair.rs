use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::receipt::Receipt;
use twowarm_core::testbed::{
    COMMANDS, LIMIT, Node, PgInstall, Testbed, finish, names_in, wait_until,
};

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_flushPrimary");

/// A primary, db1, and its running standby, db2.
pub struct Pair {
    pub db1: Node,
    pub db2: Node,
}

impl Pair {
    /// With a standby in this mode; before 9.1 in warm mode.
    pub fn new(mode: &str) -> Pair {
        let (db1, db2) = Testbed::new().unwrap().pair().unwrap();
        let mode = db1.install().major().unwrap().mode_or_warm(mode);
        for node in [&db1, &db2] {
            node.install_commands(BUILT, &COMMANDS).unwrap();
            node.prepend_settings(&format!("time_limit = 10\nmode = \"{mode}\"")).unwrap();
        }
        db1.initdb_small_segments().unwrap();
        db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
        db1.start().unwrap();
        db1.sql("create table t (n bigint)").unwrap();
        db2.run_as().make_dir(&db2.pgdata(), 0o755).unwrap();
        let conf = [db2.own_conf(), db2.small_conf(), db2.archiving_conf()];
        let conf: String = conf.into_iter().map(Result::unwrap).collect();
        db2.write_local("postgresql.conf", conf).unwrap();
        let pair = Pair { db1, db2 };
        pair.on_db2("configStandby", &[]);
        pair.on_db1("copyToStandby", &[]);
        pair.db2.start_warm().unwrap();
        pair.flows(100);
        pair
    }

    pub fn on_db1(&self, name: &str, arguments: &[&str]) -> String {
        finish(self.db1.command(name).args(arguments))
            .unwrap_or_else(|e| panic!("{e}\n{}", self.logs()))
    }

    pub fn on_db2(&self, name: &str, arguments: &[&str]) -> String {
        finish(self.db2.command(name).args(arguments))
            .unwrap_or_else(|e| panic!("{e}\n{}", self.logs()))
    }

    /// Runs a command on db1 that must fail with exit code 1; returns its last line on standard error.
    pub fn fails(&self, name: &str, arguments: &[&str]) -> String {
        let Output { status, stderr, stdout } =
            self.db1.command(name).args(arguments).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        let printed = String::from_utf8(stdout).unwrap();
        assert_eq!(status.code(), Some(1), "{said}{printed}");
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// Whether an old primary can be made a standby without a copy. If not, switchover changes nothing and says so.
    pub fn can_rejoin(&self) -> bool {
        if self.db1.install().major().unwrap().promotes_to_new_timeline() {
            return true;
        }
        let said = self.fails("switchover", &["--wait", "0"]);
        assert!(said.contains("by a copy") && said.contains("Nothing was changed"), "{said}");
        self.is_as_before();
        false
    }

    pub fn logs(&self) -> String {
        format!("db1:\n{}\ndb2:\n{}", self.db1.relevant_log(), self.db2.relevant_log())
    }

    /// Inserts rows on db1, and waits until db2 shows them.
    pub fn flows(&self, rows: u64) {
        self.db1.sql(&format!("insert into t select generate_series(1, {rows})")).unwrap();
        self.arrives();
    }

    /// Waits until db2 shows all rows of db1; before 9.0, until it has restored the last segment.
    pub fn arrives(&self) {
        let expected = rows(&self.db1).unwrap();
        let last = self.db1.switch_wal().unwrap();
        if !self.db2.install().major().unwrap().has_hot_standby() {
            return self.db2.wait_until_restored(&last).unwrap();
        }
        wait_until(&format!("{expected} rows on db2"), LIMIT, || rows(&self.db2) == Some(expected))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
    }

    pub fn receipt(&self) -> Option<Receipt> {
        Receipt::in_archive(&self.db2.archive()).unwrap()
    }

    /// The `.partial` files in db2's archive.
    pub fn tails(&self) -> Vec<String> {
        let names = names_in(&self.db2.archive()).into_iter();
        names.filter(|name| name.ends_with(".partial")).collect()
    }

    /// db1 lets no session in.
    pub fn rejects_sessions(&self) {
        let error = self.db1.client().err().unwrap().to_string();
        // The second one before 9.1.
        let words = ["pg_hba.conf rejects connection", "no pg_hba.conf entry"];
        assert!(words.iter().any(|words| error.contains(words)), "{error}");
    }

    /// Nothing of the flush is left on either node.
    pub fn is_as_before(&self) {
        let local = self.db1.local().join("replication");
        assert!(!local.join("receipt").exists() && !local.join("flushing").exists());
        assert_eq!(self.receipt(), None);
        assert_eq!(self.tails(), [""; 0]);
        let hba = fs::read_to_string(self.db1.pgdata().join("pg_hba.conf")).unwrap();
        assert!(!hba.contains("flushPrimary"), "{hba}");
        assert!(self.db2.is_in_recovery().unwrap());
    }
}

/// The modes in which a standby of the version in use can be promoted.
pub fn modes() -> &'static [&'static str] {
    PgInstall::find().unwrap().major().unwrap().modes()
}

/// How many rows a node shows, if it can be queried.
pub fn rows(node: &Node) -> Option<u64> {
    node.sql("select count(*) from t").ok()?.parse().ok()
}

/// A session that inserts one row after the other until it is ended.
pub struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Client {
    pub fn start(node: &Node) -> Client {
        let (mut session, stop) = (node.client().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut acknowledged = 0;
            while !stopped.load(Ordering::SeqCst)
                && session.simple_query("insert into t values (1)").is_ok()
            {
                acknowledged += 1;
            }
            acknowledged
        });
        Client { stop, thread }
    }

    /// The number of rows whose insertion was acknowledged before the session was ended.
    pub fn was_ended(self) -> u64 {
        self.thread.join().unwrap()
    }

    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// A running command, and the lines that it prints.
pub struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// Reads until a line begins with these words.
    pub fn prints(&mut self, words: &str) {
        let found = self.lines.by_ref().any(|line| line.unwrap().starts_with(words));
        assert!(found, "it ended without \"{words}\"");
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn interrupt(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}
