use std::fs;
use std::path::Path;

use super::conversation::Conversation;
use super::{CopyError, Wait};
use crate::data_directory::{COPY_MARKER, CopyMarker};
use crate::durable;
use crate::identifiers::random_id;
use crate::rsync::{Remote, fetch};

/// The marker as rsync fetched it. No copy includes a file of this name.
const FETCHED: &str = ".twowarm-fetched";

/// Begins the copy on the other node, and checks that rsync reaches the directory where receiveBaseCopy
/// runs: the two connect in different ways, and rsync is going to delete files.
pub(super) fn begin(
    other: &mut Conversation<'_>,
    remote: &Remote,
    source: &Path,
    target: &Path,
) -> Result<(), CopyError> {
    let token = random_id()?;
    other.begin(&token)?;
    let fetched = source.join(FETCHED);
    durable::remove(&fetched)?;
    let marker = target.join(COPY_MARKER);
    let was_fetched = other.during(Wait::Connection, || fetch(remote, &marker, &fetched))?;
    let text = fs::read_to_string(&fetched).unwrap_or_default();
    durable::remove(&fetched)?;
    if was_fetched? && CopyMarker::parse(&text).token == token {
        return Ok(());
    }
    let target = target.display().to_string();
    Err(CopyError::AnotherMachine { target, node: remote.name().to_string() })
}
