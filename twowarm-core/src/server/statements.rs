//! What differs between servers' SQL, in one place.

use crate::version::PgMajor;

const V8_3: PgMajor = PgMajor::of(8, 3);
const V8_4: PgMajor = PgMajor::of(8, 4);
const V9_0: PgMajor = PgMajor::of(9, 0);
const V9_1: PgMajor = PgMajor::of(9, 1);
const V9_2: PgMajor = PgMajor::of(9, 2);
const V9_3: PgMajor = PgMajor::of(9, 3);
const V9_4: PgMajor = PgMajor::of(9, 4);
const V9_5: PgMajor = PgMajor::of(9, 5);
const V9_6: PgMajor = PgMajor::of(9, 6);
const V10: PgMajor = PgMajor::of(10, 0);
const V12: PgMajor = PgMajor::of(12, 0);
const V15: PgMajor = PgMajor::of(15, 0);
const V16: PgMajor = PgMajor::of(16, 0);

/// How a server is asked; statements are complete and return text.
impl PgMajor {
    /// Ends the current WAL segment, so that it is archived; returns the position of its end.
    pub fn switch_wal(self) -> &'static str {
        if self >= V10 { "select pg_switch_wal()" } else { "select pg_switch_xlog()" }
    }

    /// The position up to which WAL has been written.
    pub fn current_wal_position(self) -> &'static str {
        if self >= V10 {
            "select pg_current_wal_lsn()"
        } else {
            "select pg_current_xlog_location()"
        }
    }

    /// Whether the server is in recovery ("t" or "f"). One before 9.0 takes no connections while it
    /// is, so one that answers is not.
    pub fn in_recovery(self) -> &'static str {
        if self >= V9_0 { "select pg_is_in_recovery()" } else { "select false" }
    }

    /// The cluster's system identifier; before 9.6 only pg_control tells.
    pub fn system_identifier(self) -> Option<&'static str> {
        (self >= V9_6).then_some("select system_identifier from pg_control_system()")
    }

    /// The timeline of the last checkpoint, where pg_control is newer than all that are known.
    pub fn checkpoint_timeline(self) -> &'static str {
        "select timeline_id from pg_control_checkpoint()"
    }

    /// From 9.6 on a backup belongs to a session and puts nothing into the data directory, so that a
    /// crash in the middle does the primary no harm.
    pub fn has_session_backup(self) -> bool {
        self >= V9_6
    }

    /// Begins an online backup of the session (9.6 on) with an immediate checkpoint; returns the position it
    /// starts at. `label` must be a plain word.
    pub fn backup_start(self, label: &str) -> String {
        if self >= V15 {
            format!("select pg_backup_start('{label}', true)")
        } else {
            format!("select pg_start_backup('{label}', true, false)")
        }
    }

    /// Begins an online backup of the server (through 14), with an immediate checkpoint where there is
    /// such a thing; returns the position it starts at.
    pub fn exclusive_backup_start(self, label: &str) -> String {
        if self >= V8_4 {
            format!("select pg_start_backup('{label}', true)")
        } else {
            format!("select pg_start_backup('{label}')")
        }
    }

    /// Ends that backup; returns its last position. From 8.4 on it waits for the archiver.
    pub fn exclusive_backup_stop(self) -> &'static str {
        "select pg_stop_backup()"
    }

    /// 8.3 spreads the checkpoint of a backup over a good part of checkpoint_timeout.
    pub fn spreads_backup_checkpoint(self) -> bool {
        self == V8_3
    }

    /// Ends the backup of the session; returns its last position, the label file and the tablespace map.
    /// From 10 on it does not wait for the archiver, which somebody must watch then.
    pub fn backup_stop(self) -> &'static str {
        match self {
            _ if self >= V15 => "select lsn, labelfile, spcmapfile from pg_backup_stop(false)",
            _ if self >= V10 => {
                "select lsn, labelfile, spcmapfile from pg_stop_backup(false, false)"
            }
            _ => "select lsn, labelfile, spcmapfile from pg_stop_backup(false)",
        }
    }

    /// From 9.5 on a backup's tablespace_map tells the server which links to make.
    pub fn has_tablespace_map(self) -> bool {
        self >= V9_5
    }

    /// Asks for the last failure of archive_command, if no WAL file was archived since: file, time and the
    /// number of failures. From 9.4 on.
    pub fn archiver_failure(self) -> Option<&'static str> {
        (self >= V9_4).then_some(
            "select last_failed_wal, last_failed_time, failed_count from pg_stat_archiver \
             where last_failed_time > coalesce(last_archived_time, '-infinity')",
        )
    }

    /// Where a tablespace is, as an expression over a row of pg_tablespace.
    pub fn tablespace_location(self) -> &'static str {
        if self >= V9_2 { "pg_tablespace_location(oid)" } else { "spclocation" }
    }

    /// 8.2 archives when archive_command is set, 8.3 and later when archive_mode says so too.
    pub fn has_archive_mode(self) -> bool {
        self >= V8_3
    }

    /// From 15 on archive_library can take archive_command's place.
    pub fn has_archive_library(self) -> bool {
        self >= V15
    }

    /// The wal_level that archiving and a hot standby want (9.0 on).
    pub fn replica_wal_level(self) -> Option<&'static str> {
        match self {
            _ if self >= V9_6 => Some("replica"),
            _ if self >= V9_0 => Some("hot_standby"),
            _ => None,
        }
    }

    /// From 10 on the defaults of wal_level and hot_standby are those that a standby needs.
    pub fn has_standby_defaults(self) -> bool {
        self >= V10
    }

    /// The setting that names the directory of the server's socket.
    pub fn socket_setting(self) -> &'static str {
        if self >= V9_3 { "unix_socket_directories" } else { "unix_socket_directory" }
    }

    /// From 9.5 on settings in megabytes say how much WAL is kept.
    pub fn has_wal_size_settings(self) -> bool {
        self >= V9_5
    }

    /// From 9.4 on dynamic shared memory is a setting's.
    pub fn has_dynamic_shared_memory(self) -> bool {
        self >= V9_4
    }

    /// The name of the segment that is being written.
    pub fn current_wal_file(self) -> &'static str {
        if self >= V10 {
            "select pg_walfile_name(pg_current_wal_lsn())"
        } else {
            "select pg_xlogfile_name(pg_current_xlog_location())"
        }
    }

    /// Names the session in pg_stat_activity (9.0 on).
    pub fn name_session(self) -> Option<&'static str> {
        (self >= V9_0).then_some("set application_name = 'twowarm'")
    }

    /// Commits don't wait for other nodes in a session that says this.
    pub fn commit_alone(self) -> Option<&'static str> {
        (self >= V9_1).then_some("set synchronous_commit = local")
    }

    /// A transaction that writes, and that leaves nothing behind.
    pub fn committed_write(self) -> &'static str {
        if self >= V8_3 {
            "select txid_current()"
        } else {
            "create temporary table twowarm_write (); drop table twowarm_write"
        }
    }

    /// Whether a recovery.conf may say this before 12, or a setting of this name exists for recovery
    /// from 12 on.
    pub fn has_recovery_setting(self, name: &str) -> bool {
        match name {
            "restore_command"
            | "recovery_target_time"
            | "recovery_target_xid"
            | "recovery_target_inclusive"
            | "recovery_target_timeline" => true,
            "log_restartpoints" => self == V8_3,
            "recovery_end_command" => self >= V8_4,
            "standby_mode" | "trigger_file" => self >= V9_0 && self < V12,
            "primary_conninfo" | "archive_cleanup_command" => self >= V9_0,
            "recovery_target_name" => self >= V9_1,
            "pause_at_recovery_target" => self >= V9_1 && self < V9_5,
            "recovery_target" | "recovery_min_apply_delay" | "primary_slot_name" => self >= V9_4,
            "recovery_target_action" => self >= V9_5,
            "recovery_target_lsn" => self >= V10,
            "wal_retrieve_retry_interval" => self >= V12,
            "recovery_prefetch" => self >= V15,
            "promote_trigger_file" => self >= V12 && self < V16,
            _ => false,
        }
    }

    /// From 9.5 on a setting, `wal_retrieve_retry_interval`, says how long a server in standby mode waits
    /// after an answer of "not yet" before it asks again; before, it is 5 seconds.
    pub fn has_retry_interval(self) -> bool {
        self >= V9_5
    }

    /// From 15 on a server in recovery reads ahead by default, and what it has read it replays only when
    /// restore_command has come back with more: with little traffic that is whole segments, for as long as
    /// the next one takes. A streaming standby does not wait so.
    pub fn reads_ahead_in_recovery(self) -> bool {
        self >= V15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(question: impl Fn(PgMajor) -> String) -> Vec<(String, String)> {
        let mut answers: Vec<(String, String)> = Vec::new();
        for major in PgMajor::ALL {
            let answer = question(major);
            if answers.last().is_none_or(|(_, last)| *last != answer) {
                answers.push((major.to_string(), answer));
            }
        }
        answers
    }

    fn changes(question: impl Fn(PgMajor) -> String, expected: &[(&str, &str)]) {
        let found = all(question);
        let found: Vec<_> = found.iter().map(|(m, a)| (m.as_str(), a.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_backup_is_asked_for_as_each_version_wants_it() {
        changes(
            |m| m.backup_start("l"),
            &[
                ("8.2", "select pg_start_backup('l', true, false)"),
                ("15", "select pg_backup_start('l', true)"),
            ],
        );
        changes(
            |m| m.backup_stop().into(),
            &[
                ("8.2", "select lsn, labelfile, spcmapfile from pg_stop_backup(false)"),
                ("10", "select lsn, labelfile, spcmapfile from pg_stop_backup(false, false)"),
                ("15", "select lsn, labelfile, spcmapfile from pg_backup_stop(false)"),
            ],
        );
    }

    #[test]
    fn before_9_6_a_backup_is_the_server_s() {
        changes(|m| m.has_session_backup().to_string(), &[("8.2", "false"), ("9.6", "true")]);
        changes(
            |m| m.exclusive_backup_start("l"),
            &[("8.2", "select pg_start_backup('l')"), ("8.4", "select pg_start_backup('l', true)")],
        );
        let spreads = [("8.2", "false"), ("8.3", "true"), ("8.4", "false")];
        changes(|m| m.spreads_backup_checkpoint().to_string(), &spreads);
        changes(|m| m.has_tablespace_map().to_string(), &[("8.2", "false"), ("9.5", "true")]);
    }

    #[test]
    fn functions_have_the_names_of_their_version() {
        changes(
            |m| m.switch_wal().into(),
            &[("8.2", "select pg_switch_xlog()"), ("10", "select pg_switch_wal()")],
        );
        changes(
            |m| m.in_recovery().into(),
            &[("8.2", "select false"), ("9.0", "select pg_is_in_recovery()")],
        );
    }

    #[test]
    fn statements_change_with_the_version() {
        changes(
            |m| m.current_wal_position().into(),
            &[("8.2", "select pg_current_xlog_location()"), ("10", "select pg_current_wal_lsn()")],
        );
        changes(
            |m| m.tablespace_location().into(),
            &[("8.2", "spclocation"), ("9.2", "pg_tablespace_location(oid)")],
        );
        changes(
            |m| m.system_identifier().unwrap_or("none").into(),
            &[("8.2", "none"), ("9.6", "select system_identifier from pg_control_system()")],
        );
        changes(|m| m.name_session().is_some().to_string(), &[("8.2", "false"), ("9.0", "true")]);
        changes(
            |m| m.commit_alone().unwrap_or("none").into(),
            &[("8.2", "none"), ("9.1", "set synchronous_commit = local")],
        );
        changes(
            |m| m.committed_write().split(' ').next().unwrap_or_default().into(),
            &[("8.2", "create"), ("8.3", "select")],
        );
        let has = |question: fn(PgMajor) -> bool| move |m: PgMajor| question(m).to_string();
        let since = |question, major| changes(has(question), &[("8.2", "false"), (major, "true")]);
        since(PgMajor::has_session_backup, "9.6");
        since(PgMajor::has_tablespace_map, "9.5");
        since(PgMajor::has_archive_mode, "8.3");
        since(PgMajor::has_archive_library, "15");
        since(PgMajor::has_retry_interval, "9.5");
        since(PgMajor::reads_ahead_in_recovery, "15");
    }

    /// 19 has the settings of 18, and a version that is newer still is taken to have them.
    #[test]
    fn nineteen_and_later_have_the_settings_of_eighteen() {
        let [eighteen, nineteen, twenty] =
            ["18", "19", "20"].map(|m| m.parse::<PgMajor>().unwrap());
        for name in [
            "restore_command",
            "recovery_target_timeline",
            "recovery_target_action",
            "recovery_target_lsn",
            "primary_conninfo",
            "wal_retrieve_retry_interval",
            "recovery_prefetch",
        ] {
            assert!([eighteen, nineteen, twenty].iter().all(|m| m.has_recovery_setting(name)));
        }
        for name in ["standby_mode", "trigger_file", "promote_trigger_file"] {
            assert!(![eighteen, nineteen, twenty].iter().any(|m| m.has_recovery_setting(name)));
        }
        assert_eq!(nineteen.backup_stop(), eighteen.backup_stop());
        assert_eq!(twenty.backup_start("l"), eighteen.backup_start("l"));
    }

    #[test]
    fn settings_that_a_standby_needs_have_their_version_s_names_and_values() {
        let level = |m: PgMajor| m.replica_wal_level().unwrap_or("none").into();
        changes(level, &[("8.2", "none"), ("9.0", "hot_standby"), ("9.6", "replica")]);
        let sockets = [("8.2", "unix_socket_directory"), ("9.3", "unix_socket_directories")];
        changes(|m| m.socket_setting().into(), &sockets);
        changes(|m| m.has_archive_mode().to_string(), &[("8.2", "false"), ("8.3", "true")]);
        changes(|m| m.has_standby_defaults().to_string(), &[("8.2", "false"), ("10", "true")]);
        let sizes = [("8.2", "false"), ("9.5", "true")];
        changes(|m| m.has_wal_size_settings().to_string(), &sizes);
    }

    #[test]
    fn recovery_settings_come_and_go() {
        let has = |name: &'static str| move |m: PgMajor| m.has_recovery_setting(name).to_string();
        changes(has("standby_mode"), &[("8.2", "false"), ("9.0", "true"), ("12", "false")]);
        changes(has("recovery_end_command"), &[("8.2", "false"), ("8.4", "true")]);
        changes(has("log_restartpoints"), &[("8.2", "false"), ("8.3", "true"), ("8.4", "false")]);
        changes(has("promote_trigger_file"), &[("8.2", "false"), ("12", "true"), ("16", "false")]);
        changes(has("wal_retrieve_retry_interval"), &[("8.2", "false"), ("12", "true")]);
        changes(has("restore_command"), &[("8.2", "true")]);
        changes(has("trigger_file"), &[("8.2", "false"), ("9.0", "true"), ("12", "false")]);
        changes(
            has("pause_at_recovery_target"),
            &[("8.2", "false"), ("9.1", "true"), ("9.5", "false")],
        );
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
            changes(has(name), &[("8.2", "false"), (since, "true")]);
        }
    }
}
