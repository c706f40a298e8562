//! What the tests of pg_standby share: the binary in a scratch directory, and real servers on it.

mod pair;
mod scratch;

pub use pair::Pair;
pub use scratch::{NAME, Scratch, segment};
pub use twowarm_core::testbed::{
    BedError, Call, LIMIT, NEWER_MAJOR, StopMode, WarmPair, names_in, newer_control, wait_until,
};
