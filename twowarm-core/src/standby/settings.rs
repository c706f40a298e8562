//! The settings of a standby that differ between versions.

use crate::version::PgMajor;

impl PgMajor {
    /// From 8.3 on archive_mode must be on; 8.2 archives if archive_command is set.
    #[must_use]
    pub fn has_archive_mode(self) -> bool {
        self >= PgMajor::of(8, 3)
    }

    /// From 15 on archive_library overrides archive_command.
    pub(crate) fn has_archive_library(self) -> bool {
        self >= PgMajor::of(15, 0)
    }

    /// The wal_level for archiving and hot standby (9.0 on).
    pub(crate) fn replica_wal_level(self) -> Option<&'static str> {
        match self {
            _ if self >= PgMajor::of(9, 6) => Some("replica"),
            _ if self >= PgMajor::of(9, 0) => Some("hot_standby"),
            _ => None,
        }
    }

    /// From 10 on the defaults of wal_level and hot_standby suit a standby.
    pub(crate) fn has_standby_defaults(self) -> bool {
        self >= PgMajor::of(10, 0)
    }

    /// Whether a recovery.conf may contain this setting, or, from 12 on, whether it is one of recovery.
    pub(crate) fn has_recovery_setting(self, name: &str) -> bool {
        match name {
            "restore_command"
            | "recovery_target_time"
            | "recovery_target_xid"
            | "recovery_target_inclusive"
            | "recovery_target_timeline" => true,
            "log_restartpoints" => self == PgMajor::of(8, 3),
            "recovery_end_command" => self >= PgMajor::of(8, 4),
            "standby_mode" | "trigger_file" => {
                self >= PgMajor::of(9, 0) && self < PgMajor::of(12, 0)
            }
            "primary_conninfo" | "archive_cleanup_command" => self >= PgMajor::of(9, 0),
            "recovery_target_name" => self >= PgMajor::of(9, 1),
            "pause_at_recovery_target" => self >= PgMajor::of(9, 1) && self < PgMajor::of(9, 5),
            "recovery_target" | "recovery_min_apply_delay" | "primary_slot_name" => {
                self >= PgMajor::of(9, 4)
            }
            "recovery_target_action" => self >= PgMajor::of(9, 5),
            "recovery_target_lsn" => self >= PgMajor::of(10, 0),
            "wal_retrieve_retry_interval" => self >= PgMajor::of(12, 0),
            "recovery_prefetch" => self >= PgMajor::of(15, 0),
            "promote_trigger_file" => self >= PgMajor::of(12, 0) && self < PgMajor::of(16, 0),
            _ => false,
        }
    }

    /// From 9.5 on `wal_retrieve_retry_interval` sets how long a server in standby mode waits before it calls
    /// restore_command again; before, it is 5 seconds.
    pub(crate) fn has_retry_interval(self) -> bool {
        self >= PgMajor::of(9, 5)
    }

    /// From 15 on a server in recovery prefetches WAL by default, and replays the prefetched records only after
    /// restore_command has returned the next segment. With little traffic that delays whole segments. A
    /// streaming standby has no such delay.
    pub(crate) fn reads_ahead_in_recovery(self) -> bool {
        self >= PgMajor::of(15, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::tests::{changes, since};

    #[test]
    fn settings_come_with_their_version() {
        since(PgMajor::has_archive_mode, "8.3");
        since(PgMajor::has_archive_library, "15");
        since(PgMajor::has_retry_interval, "9.5");
        since(PgMajor::reads_ahead_in_recovery, "15");
        since(PgMajor::has_standby_defaults, "10");
        let level = |m: PgMajor| m.replica_wal_level().unwrap_or("none");
        changes(level, &[("8.2", "none"), ("9.0", "hot_standby"), ("9.6", "replica")]);
    }

    /// 19 has the settings of 18, and a version that is newer still is assumed to have them.
    #[test]
    fn nineteen_and_later_have_the_settings_of_eighteen() {
        let majors = ["18", "19", "20"].map(|major| major.parse::<PgMajor>().unwrap());
        for name in [
            "restore_command",
            "recovery_target_timeline",
            "recovery_target_action",
            "recovery_target_lsn",
            "primary_conninfo",
            "wal_retrieve_retry_interval",
            "recovery_prefetch",
        ] {
            assert!(majors.iter().all(|major| major.has_recovery_setting(name)), "{name}");
        }
        for name in ["standby_mode", "trigger_file", "promote_trigger_file"] {
            assert!(!majors.iter().any(|major| major.has_recovery_setting(name)), "{name}");
        }
    }

    #[test]
    fn recovery_settings_differ_between_versions() {
        let has = |name: &'static str| move |major: PgMajor| major.has_recovery_setting(name);
        changes(has("standby_mode"), &[("8.2", false), ("9.0", true), ("12", false)]);
        changes(has("recovery_end_command"), &[("8.2", false), ("8.4", true)]);
        changes(has("log_restartpoints"), &[("8.2", false), ("8.3", true), ("8.4", false)]);
        changes(has("promote_trigger_file"), &[("8.2", false), ("12", true), ("16", false)]);
        changes(has("wal_retrieve_retry_interval"), &[("8.2", false), ("12", true)]);
        changes(has("restore_command"), &[("8.2", true)]);
        changes(has("trigger_file"), &[("8.2", false), ("9.0", true), ("12", false)]);
        changes(has("pause_at_recovery_target"), &[("8.2", false), ("9.1", true), ("9.5", false)]);
        for (name, since) in [
            ("primary_conninfo", "9.0"),
            ("archive_cleanup_command", "9.0"),
            ("recovery_target_name", "9.1"),
            ("recovery_target", "9.4"),
            ("recovery_min_apply_delay", "9.4"),
            ("primary_slot_name", "9.4"),
            ("recovery_target_action", "9.5"),
            ("recovery_target_lsn", "10"),
            ("recovery_prefetch", "15"),
        ] {
            changes(has(name), &[("8.2", false), (since, true)]);
        }
    }
}
