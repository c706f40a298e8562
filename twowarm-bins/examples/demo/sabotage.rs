//! `BREAK=1`: removes an archived segment before db2 replays it.

use std::fs;

use twowarm_core::testbed::{BedError, StopMode};
use twowarm_core::wal::Lsn;

use crate::nodes::Nodes;
use crate::shipping::{Shipped, in_archive};
use crate::story::say;

/// A stopped standby, with its replay position.
pub struct Sabotage {
    replayed: Lsn,
}

/// Stops db2, so that what is shipped from now on stays in its archive.
pub fn stop_standby(nodes: &Nodes) -> Result<Sabotage, BedError> {
    let replayed = nodes.replayed()?;
    nodes.db2.stop(StopMode::Fast)?;
    say!("BREAK=1: db2 is stopped for a while. It has replayed WAL up to {replayed}.");
    Ok(Sabotage { replayed })
}

impl Sabotage {
    /// Removes a segment from the middle of those that db2 has not replayed, and starts db2 again.
    pub fn take_a_segment_away(&self, nodes: &Nodes) -> Result<(), BedError> {
        let current = Shipped::look(&nodes.db1)?.containing(self.replayed)?;
        let waiting = in_archive(&nodes.db2)?;
        // The one after the current segment may already have been restored.
        let waiting: Vec<_> = waiting.into_iter().filter(|name| *name > current).skip(1).collect();
        let none =
            || BedError("db2's archive holds no segment that is still to be replayed".to_owned());
        let victim = waiting.get(waiting.len() / 2).ok_or_else(none)?;
        let file = nodes.db2.archive().join(victim.to_string());
        fs::remove_file(&file)
            .map_err(|error| BedError(format!("could not remove {}: {error}", file.display())))?;
        say!("BREAK=1: {victim} is removed from db2's archive, and db2 is started again.");
        nodes.start_standby()
    }

    /// Lets triggerStandby refuse the failover, then promotes db2 in spite of the gap.
    pub fn promote(&self, nodes: &Nodes) -> Result<(), BedError> {
        if nodes.try_on(&nodes.db2, "triggerStandby")?.success() {
            return Err(BedError("triggerStandby did not notice the missing segment".to_owned()));
        }
        say!(
            "BREAK=1: triggerStandby refuses. The demo accepts the loss, so that the count must show it."
        );
        nodes.run_on(&nodes.db2, "triggerStandby --accept-gap")
    }
}
