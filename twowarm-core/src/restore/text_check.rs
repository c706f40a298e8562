use crate::wal::{BackupHistory, TimelineHistory, TimelineId, WalFileName};

/// A history or .backup file larger than this is none, in bytes.
pub(super) const MAX_TEXT: u64 = 1 << 20;

/// What is wrong with the content of a history or .backup file, if anything is.
pub(super) fn text_problem(name: WalFileName, text: &[u8]) -> Option<String> {
    if text.len() as u64 > MAX_TEXT {
        return Some("it is far too large".to_owned());
    }
    let WalFileName::History(timeline) = name else {
        return BackupHistory::parse(text).err().map(|e| e.to_string());
    };
    match TimelineHistory::parse(timeline, text) {
        // A server takes it for a timeline without ancestors, and goes where no segments are.
        Ok(history) if history.ancestors().is_empty() && timeline != TimelineId::FIRST => {
            Some("it names no ancestor".to_owned())
        }
        Ok(_) => None,
        Err(e) => Some(e.to_string()),
    }
}
