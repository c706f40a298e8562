use std::fmt;

use twowarm_core::testbed::{Node, wait_until};

use crate::pair::{LIMIT, Pair, log_of};

/// How a standby is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Recovery from an archive, with a restore_command that waits.
    Warm,
}

impl Mode {
    pub const ALL: [Mode; 1] = [Mode::Warm];

    /// Sets it in the node's 2warm.toml.
    pub fn choose(self, _node: &Node) {}

    /// A primary and a standby made in this mode, which replays.
    pub fn pair(self) -> Pair {
        let pair = Pair::new();
        self.choose(&pair.db2);
        pair.fill("first", 1000);
        pair.make_standby();
        pair
    }

    /// Whether a standby follows another one's promotion while it runs.
    pub fn follows_without_restart(self) -> bool {
        match self {
            Mode::Warm => false,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Warm => "warm",
        })
    }
}

/// Waits until the node is a primary that takes writes.
pub fn wait_until_writable(node: &Node) {
    wait_until("the server to take writes", LIMIT, || {
        node.sql("create table if not exists written (n int)").is_ok()
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", log_of(node)));
    assert!(!node.is_in_recovery().unwrap());
}
