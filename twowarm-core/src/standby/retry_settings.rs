//! Settings with which a standby replays WAL sooner after it arrives, unless the user has set them.

use crate::data_directory::{RecoveryMode, setting_line};
use crate::version::PgMajor;

const RETRY_INTERVAL: (&str, &str) = ("wal_retrieve_retry_interval", "200ms");
const NO_PREFETCH: (&str, &str) = ("recovery_prefetch", "off");

/// Whether a line with this name and value is one of these, which are written anew each time.
pub(super) fn is_ours(name: &str, value: &str) -> bool {
    [RETRY_INTERVAL, NO_PREFETCH].contains(&(name, value))
}

/// The lines for a server of this version and mode. `in_force` returns the value that a setting has without
/// them.
pub(super) fn lines(
    major: PgMajor,
    mode: RecoveryMode,
    in_force: impl Fn(&str) -> Option<String>,
) -> String {
    let streams = mode == RecoveryMode::Standby
        && in_force("primary_conninfo").is_some_and(|source| !source.is_empty());
    if streams {
        // It would try to connect as often as it asks for files, and it replays prefetched WAL at once.
        return String::new();
    }
    let wanted = [
        (mode == RecoveryMode::Standby && major.has_retry_interval(), RETRY_INTERVAL),
        // In standby mode too: restoreWALFile waits within the call there as well.
        (major.reads_ahead_in_recovery(), NO_PREFETCH),
    ];
    let wanted =
        wanted.into_iter().filter(|(wanted, (name, _))| *wanted && in_force(name).is_none());
    wanted.map(|(_, (name, value))| setting_line(name, value)).collect()
}
