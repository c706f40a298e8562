use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use twowarm_core::testbed::{Node, Testbed, names_in};

/// One of the built commands.
pub const BUILT: &str = env!("CARGO_BIN_EXE_archiveWALFile");
pub const COMMANDS: [&str; 2] = ["archiveWALFile", "receiveWALFile"];
/// The first segment of every cluster that initdb makes.
pub const ONE: &str = "000000010000000000000001";
pub const LIMIT: Duration = Duration::from_secs(60);

/// db1 with a cluster whose archiving is active, and db2 with an archive.
pub struct Pair {
    pub bed: Testbed,
    pub db1: Node,
    pub db2: Node,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with_cluster(&[])
    }

    /// With these arguments for initdb.
    pub fn with_cluster(initdb: &[&str]) -> Pair {
        let bed = Testbed::new().unwrap();
        let (db1, db2) = bed.pair().unwrap();
        for node in [&db1, &db2] {
            node.install_commands(BUILT, &COMMANDS).unwrap();
        }
        db1.initdb(initdb).unwrap();
        db1.prepend_settings("time_limit = 3").unwrap();
        db1.write_local("replication/archiving_active", "").unwrap();
        for directory in [db2.pgdata(), db2.archive()] {
            db2.run_as().make_dir(&directory, 0o700).unwrap();
        }
        Pair { bed, db1, db2 }
    }

    /// A pair for each carrier.
    pub fn by_each_carrier(test: fn(&mut Pair)) {
        for carrier in ["ssh2", "openssh", "local", "rsync"] {
            println!("carrier {carrier}");
            test(&mut Pair::by(carrier));
        }
    }

    /// A pair whose WAL gets to db2 by this carrier.
    pub fn by(carrier: &str) -> Pair {
        let pair = Pair::new();
        let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
        let archive = match carrier {
            "local" | "rsync" => format!("archive = \"{}\"\n", pair.db2.archive().display()),
            _ => String::new(),
        };
        if carrier == "local" {
            pair.db2.run_as().write(&pair.archived(".archive"), "").unwrap();
        }
        let section = format!("[node.db2]\ncarrier = \"{carrier}\"\n{archive}");
        pair.db1.write_local("2warm.toml", settings.replace("[node.db2]\n", &section)).unwrap();
        pair
    }

    pub fn archive(&self, path: &str, name: &str) -> Output {
        self.db1.command("archiveWALFile").args([path, name]).output().unwrap()
    }

    /// Sends the first segment.
    pub fn send(&self) -> Output {
        self.archive(&format!("pg_wal/{ONE}"), ONE)
    }

    pub fn arrives(&self) {
        let output = self.send();
        assert!(output.status.success(), "{}", said(&output));
        let sent = fs::read(self.db1.pgdata().join("pg_wal").join(ONE)).unwrap();
        assert!(fs::read(self.archived(ONE)).unwrap() == sent, "a different content arrived");
        assert_eq!(self.leftovers(), 0);
    }

    pub fn archived(&self, name: &str) -> PathBuf {
        self.db2.archive().join(name)
    }

    pub fn leftovers(&self) -> usize {
        fs::read_dir(self.archived(".incoming")).map_or(0, Iterator::count)
    }

    /// Asserts this exit code, one line on standard error with all of `words`, and that nothing was stored.
    pub fn fails(&self, output: &Output, code: i32, words: &[&str]) {
        let text = said(output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("archiveWALFile: ERROR: "), "{text}");
        for word in words {
            assert!(text.contains(word), "\"{word}\" is not in: {text}");
        }
        if self.db2.archive().exists() {
            let names = names_in(&self.db2.archive());
            assert!(!names.iter().any(|name| name.len() >= 16), "{names:?}");
        }
    }

    /// Restricts db1's key on db2 to this command.
    pub fn force(&mut self, command: &str) {
        self.db2.sshd().authorize(self.db1.key(), Some(command)).unwrap();
    }

    pub fn receiver(&self) -> String {
        self.db2.global().join("replication/receiveWALFile").display().to_string()
    }
}

pub fn said(output: &Output) -> String {
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
