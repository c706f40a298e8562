//! `BREAK=1`: a segment that was shipped and acknowledged is taken away before db2 replays it.

use std::fs;

use twowarm_core::testbed::{BedError, StopMode};
use twowarm_core::wal::Lsn;

use crate::nodes::Nodes;
use crate::shipping::{Shipped, in_archive};
use crate::story::say;

/// A stopped standby, and how far it had come.
pub struct Sabotage {
    replayed: Lsn,
}

/// Stops db2, so that what is shipped from now on stays in its archive.
pub fn stop_standby(nodes: &Nodes) -> Result<Sabotage, BedError> {
    let replayed = nodes.replayed()?;
    nodes.db2.stop(StopMode::Fast)?;
    say!("BREAK=1: db2 is stopped for a while, having replayed up to {replayed}.");
    Ok(Sabotage { replayed })
}

impl Sabotage {
    /// Removes a segment that db2 has not replayed, from the middle of those, and starts db2 again.
    pub fn take_a_segment_away(&self, nodes: &Nodes) -> Result<(), BedError> {
        let current = Shipped::look(&nodes.db1)?.containing(self.replayed)?;
        let waiting = in_archive(&nodes.db2)?;
        // The one after the current may have been handed to the server already.
        let waiting: Vec<_> = waiting.into_iter().filter(|name| *name > current).skip(1).collect();
        let none = || BedError("db2's archive holds nothing that it has yet to replay".to_owned());
        let victim = waiting.get(waiting.len() / 2).ok_or_else(none)?;
        let file = nodes.db2.archive().join(victim.to_string());
        fs::remove_file(&file)
            .map_err(|error| BedError(format!("could not remove {}: {error}", file.display())))?;
        say!("BREAK=1: {victim} is removed from db2's archive; db2 is started again.");
        nodes.start_standby()
    }
}
