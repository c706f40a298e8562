use twowarm_core::testbed::{LIMIT, Node, wait_until};

use crate::load::Load;
use crate::site::{be_empty, latest, log, missing, run, start_primary, stream, three};

/// db1, its running standby db2, and db3, a running DR node that was copied from db1.
pub struct Trio {
    pub db1: Node,
    pub db2: Node,
    pub db3: Node,
}

impl Trio {
    pub fn new(mode: &str) -> Trio {
        Trio::with(mode, false)
    }

    /// db1 and db2 stream from each other.
    pub fn streaming() -> Trio {
        Trio::with("standby", true)
    }

    fn with(mode: &str, streams: bool) -> Trio {
        let [db1, db2, db3] = three(mode);
        start_primary(&db1);
        for (node, copy) in [(&db2, "copyToStandby"), (&db3, "copyToDR")] {
            be_empty(node);
            if streams && node.name() == "db2" {
                stream(node, &db1);
                stream(&db1, node);
            }
            run(node, "configStandby", &[]);
            run(&db1, copy, &[]);
        }
        if mode == "warm" {
            // The test is the supervisor that restarts the server.
            db3.append_settings("[restore]\nrestart_for_timeline = true").unwrap();
        }
        db2.start_warm().unwrap();
        db3.start_warm().unwrap();
        Trio { db1, db2, db3 }
    }

    /// Rows that are written and shipped now reach a standby; db3 gets them from a relay.
    pub fn reach(&self, from: &Node, to: &Node, relay: Option<&Node>) {
        let load = Load::start(&[from]);
        (0..3).for_each(|_| load.goes_on());
        let rows = load.stop();
        let last = from.switch_wal().unwrap();
        from.wait_until_archived(&last).unwrap();
        if let Some(relay) = relay {
            run(relay, "rsyncDR", &[]);
        }
        self.shows(to, &rows);
    }

    pub fn shows(&self, node: &Node, rows: &[u64]) {
        let last = rows.last().copied().unwrap();
        wait_until(&format!("row {last} on {}", node.name()), LIMIT, || {
            // In warm mode it stops for a newer timeline.
            if node.pid().is_none() {
                node.start_warm().unwrap();
            }
            latest(node).is_some_and(|latest| latest >= last)
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        assert_eq!(missing(node, rows), [0; 0]);
    }

    pub fn logs(&self) -> String {
        [&self.db1, &self.db2, &self.db3].map(log).concat()
    }
}
