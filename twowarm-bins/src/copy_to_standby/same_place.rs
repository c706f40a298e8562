use std::fs;
use std::path::Path;

use twowarm_core::data_directory::{COPY_MARKER, CopyMarker};
use twowarm_core::durable;
use twowarm_core::identifiers::NodeName;
use twowarm_core::identifiers::random_id;
use twowarm_core::rsync::{Remote, fetch};

use super::error::CopyError;
use super::far::FarEnd;

/// The marker as rsync brings it. A name that no copy takes along.
const FETCHED: &str = ".twowarm-fetched";

/// Lets the far end begin, and makes sure that rsync gets to where the far end has looked around: the two
/// reach the node in different ways, and rsync is going to delete.
pub(super) fn begin(
    far: &mut FarEnd,
    remote: &Remote,
    node: &NodeName,
    pgdata: &Path,
    target: &Path,
) -> Result<(), CopyError> {
    let token = random_id()?;
    far.begin(&token)?;
    let fetched = pgdata.join(FETCHED);
    durable::remove(&fetched)?;
    let marker = target.join(COPY_MARKER);
    let found = far.meanwhile("rsync to connect", || fetch(remote, &marker, &fetched))?;
    let text = fs::read_to_string(&fetched).unwrap_or_default();
    durable::remove(&fetched)?;
    if found? && CopyMarker::parse(&text).token == token {
        return Ok(());
    }
    let place = target.display().to_string();
    Err(CopyError::AnotherMachine { place, node: node.to_string() })
}
