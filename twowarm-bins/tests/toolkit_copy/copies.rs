use twowarm_core::testbed::{COMMANDS, Node, StopMode, Testbed, wait_until};

use crate::pair::{LIMIT, Pair, make_empty, names, succeeds};

/// One of the built commands.
const BUILT: &str = env!("CARGO_BIN_EXE_copyToDR");

/// The primary db1, its standby db2 and the DR node db3, each of which reaches the others.
pub struct Trio {
    pub pair: Pair,
    pub db3: Node,
}

impl Trio {
    /// db1 is running and has rows, db2 is a running standby, db3 is prepared for a copy.
    pub fn new() -> Trio {
        let bed = Testbed::new().unwrap();
        let [mut db1, mut db2, mut db3] = ["db1", "db2", "db3"].map(|name| bed.node(name).unwrap());
        for node in [&mut db1, &mut db2, &mut db3] {
            node.start_sshd().unwrap();
            node.install_commands(BUILT, &COMMANDS).unwrap();
        }
        // The last node that is reached is the other node.
        for (node, others) in [(&db1, [&db3, &db2]), (&db2, [&db3, &db1]), (&db3, [&db2, &db1])] {
            others.into_iter().for_each(|other| node.reach(other).unwrap());
        }
        for node in [&db1, &db2] {
            node.write_local("replication/drnode", "db3\n").unwrap();
        }
        db1.initdb_small_segments().unwrap();
        db1.append_conf(&db1.archiving_conf().unwrap()).unwrap();
        db1.start().unwrap();
        make_empty(&db2);
        make_empty(&db3);
        let trio = Trio { pair: Pair { db1, db2 }, db3 };
        trio.pair.fill("first", 20_000);
        trio.pair.make_standby();
        trio.pair.ship();
        trio.pair.wait_for_rows("first", 20_000);
        // Without db2's archive, unless a test says so.
        trio.db3.append_settings("[restore]\nwait_limit = 1\nrestore_from = []").unwrap();
        succeeds(trio.db3.command("configStandby"));
        trio
    }

    /// Everything that db1 has written so far arrives on db2, and db3 fetches it from there.
    pub fn follow(&self) {
        let settings = self.db3.local().join("2warm.toml");
        let text = std::fs::read_to_string(&settings).unwrap();
        let text = text.replace("restore_from = []", "restore_from = [\"db2\"]");
        self.db3.run_as().write(&settings, text).unwrap();
        if !self.db3.install().major().unwrap().has_standby_mode_promotion() {
            // In warm mode the waiting restoreWALFile keeps the settings that it has read.
            self.db3.stop(StopMode::Fast).unwrap();
            self.db3.start_warm().unwrap();
        }
        self.pair.ship();
        let is_segment = |name: &String| name.len() == 24;
        let last = names(&self.pair.db2.archive()).into_iter().rfind(is_segment).unwrap();
        let fetched = self.db3.archive().join(&last);
        wait_until(&format!("{last} to be fetched"), LIMIT, || fetched.exists())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.db3.relevant_log()));
    }
}

/// A sum over all columns of a table made by [`Pair::fill`].
pub fn sum(node: &Node, table: &str) -> String {
    node.sql(&format!("select count(*), sum(n), sum(hashtext(md5)::bigint) from {table}")).unwrap()
}

/// Asserts that no file of a copy is left in a data directory. restoreWALFile keeps some there.
pub fn is_clean(node: &Node) {
    let left = names(&node.pgdata()).into_iter().find(|name| name.starts_with(".twowarm-"));
    assert_eq!(left, None, "on {}", node.name());
}

/// Whether a backup of a standby can be taken by SQL.
pub fn takes_backups_of_standbys(node: &Node) -> bool {
    node.install().major().unwrap().has_session_backup()
}
