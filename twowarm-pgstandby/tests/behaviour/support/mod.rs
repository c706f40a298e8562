//! What the tests of pg_standby share: the binary in a scratch directory, and real servers on it.

mod call;
mod pair;
mod scratch;

pub use call::Call;
pub use pair::Pair;
pub use scratch::{NAME, Scratch, segment};

use std::time::Duration;

/// What should happen soon has not happened.
pub const LIMIT: Duration = Duration::from_secs(60);
