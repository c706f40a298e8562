//! Settings that a standby is better off with, as long as nobody says otherwise.

use crate::data_directory::{RecoveryMode, setting_line};
use crate::version::PgMajor;

const RETRY_INTERVAL: (&str, &str) = ("wal_retrieve_retry_interval", "200ms");
const NO_READING_AHEAD: (&str, &str) = ("recovery_prefetch", "off");

/// Whether a line with this name and value was written by us, or might as well have been.
pub(super) fn is_ours(name: &str, value: &str) -> bool {
    [RETRY_INTERVAL, NO_READING_AHEAD].contains(&(name, value))
}

/// The lines for a server of this version and mode; `in_force` tells what is set without them.
pub(super) fn lines(
    major: PgMajor,
    mode: RecoveryMode,
    in_force: impl Fn(&str) -> Option<String>,
) -> String {
    let streams = mode == RecoveryMode::Standby
        && in_force("primary_conninfo").is_some_and(|source| !source.is_empty());
    if streams {
        // It tries to connect as often as it asks for files, and replays what it has read ahead at once.
        return String::new();
    }
    let asks_again = mode == RecoveryMode::Standby && major.has_retry_interval();
    let wanted = [
        (asks_again, RETRY_INTERVAL),
        // So that what has arrived is replayed at once: in standby mode too, where restoreWALFile waits
        // within the call as well.
        (major.reads_ahead_in_recovery(), NO_READING_AHEAD),
    ];
    let wanted =
        wanted.into_iter().filter(|(wanted, (name, _))| *wanted && in_force(name).is_none());
    wanted.map(|(_, (name, value))| setting_line(name, value)).collect()
}
