use twowarm_core::testbed::{Node, PgInstall, wait_until};

use crate::pair::{LIMIT, Pair};

/// The mode that a standby is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Standby mode: the server repeats its requests and follows new timelines.
    Standby,
    /// Archive recovery with a restore_command that waits.
    Warm,
}

impl Mode {
    /// The modes that are usable with this version: before 9.1 only a trigger file ends standby mode.
    pub fn all() -> &'static [Mode] {
        let major = PgInstall::find().unwrap().major().unwrap();
        if major.has_standby_mode_promotion() {
            &[Mode::Standby, Mode::Warm]
        } else {
            &[Mode::Warm]
        }
    }

    /// Its name in 2warm.toml.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standby => "standby",
            Mode::Warm => "warm",
        }
    }

    /// A primary and a standby in this mode, which replays.
    pub fn pair(self) -> Pair {
        Pair::with_standby_in(self.name())
    }

    /// Whether a standby follows the promotion of another one without a restart.
    pub fn follows_without_restart(self) -> bool {
        self == Mode::Standby
    }
}

/// Waits until the node is a primary that takes writes.
pub fn wait_until_writable(node: &Node) {
    wait_until("the server to take writes", LIMIT, || {
        node.sql("drop table if exists written; create table written (n int)").is_ok()
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", node.relevant_log()));
    assert!(!node.is_in_recovery().unwrap());
}
