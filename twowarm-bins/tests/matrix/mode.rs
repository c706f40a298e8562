use twowarm_core::testbed::{Node, wait_until};

use crate::pair::{LIMIT, Pair, log_of};

/// How a standby is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server asks again and again, and follows timelines.
    Standby,
    /// Recovery from an archive, with a restore_command that waits.
    Warm,
}

impl Mode {
    pub const ALL: [Mode; 2] = [Mode::Standby, Mode::Warm];

    /// What 2warm.toml calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standby => "standby",
            Mode::Warm => "warm",
        }
    }

    /// A primary and a standby made in this mode, which replays.
    pub fn pair(self) -> Pair {
        Pair::with_standby_in(self.name())
    }

    /// Whether a standby follows another one's promotion while it runs.
    pub fn follows_without_restart(self) -> bool {
        self == Mode::Standby
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
