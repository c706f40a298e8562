//! The SQL statements that differ between versions. Each is complete and returns text.

use crate::version::PgMajor;

impl PgMajor {
    /// Switches to a new WAL segment, so that the current one is archived; returns the end position in it.
    #[must_use]
    pub fn switch_wal(self) -> &'static str {
        if self >= PgMajor::of(10, 0) {
            "select pg_switch_wal()"
        } else {
            "select pg_switch_xlog()"
        }
    }

    /// Whether the server is in recovery ("t" or "f"). Before 9.0 a server in recovery does not accept
    /// connections.
    pub(crate) fn in_recovery(self) -> &'static str {
        if self >= PgMajor::of(9, 0) { "select pg_is_in_recovery()" } else { "select false" }
    }

    /// The cluster's system identifier. Before 9.6 only pg_control contains it.
    pub(crate) fn system_identifier(self) -> Option<&'static str> {
        (self >= PgMajor::of(9, 6)).then_some("select system_identifier from pg_control_system()")
    }

    /// The timeline of the last checkpoint, for a version whose pg_control can't be parsed.
    #[must_use]
    pub fn checkpoint_timeline(self) -> &'static str {
        "select timeline_id from pg_control_checkpoint()"
    }

    /// From 9.6 on an online backup belongs to a session and writes nothing into the data directory, so that
    /// the primary can restart after a crash during a backup.
    #[must_use]
    pub fn has_session_backup(self) -> bool {
        self >= PgMajor::of(9, 6)
    }

    /// Starts a backup of the session (9.6 on) with an immediate checkpoint; returns its start position.
    /// `label` must not need quoting.
    pub(crate) fn backup_start(self, label: &str) -> String {
        if self >= PgMajor::of(15, 0) {
            format!("select pg_backup_start('{label}', true)")
        } else {
            format!("select pg_start_backup('{label}', true, false)")
        }
    }

    /// Starts an exclusive backup (through 14), from 8.4 on with an immediate checkpoint; returns its start
    /// position. `label` must not need quoting.
    #[must_use]
    pub fn exclusive_backup_start(self, label: &str) -> String {
        if self >= PgMajor::of(8, 4) {
            format!("select pg_start_backup('{label}', true)")
        } else {
            format!("select pg_start_backup('{label}')")
        }
    }

    /// Ends an exclusive backup; returns its end position. From 8.4 on it waits for the archiver.
    #[must_use]
    pub fn exclusive_backup_stop(self) -> &'static str {
        "select pg_stop_backup()"
    }

    /// 8.3 spreads the checkpoint of a backup over a large part of checkpoint_timeout.
    pub(crate) fn spreads_backup_checkpoint(self) -> bool {
        self == PgMajor::of(8, 3)
    }

    /// Ends a backup of the session; returns its end position, the backup label and the tablespace map. From 10
    /// on it does not wait for the archiver, so the caller has to.
    pub(crate) fn backup_stop(self) -> &'static str {
        match self {
            _ if self >= PgMajor::of(15, 0) => {
                "select lsn, labelfile, spcmapfile from pg_backup_stop(false)"
            }
            _ if self >= PgMajor::of(10, 0) => {
                "select lsn, labelfile, spcmapfile from pg_stop_backup(false, false)"
            }
            _ => "select lsn, labelfile, spcmapfile from pg_stop_backup(false)",
        }
    }

    /// From 9.5 on a backup has a tablespace_map, from which the server creates the links.
    #[must_use]
    pub fn has_tablespace_map(self) -> bool {
        self >= PgMajor::of(9, 5)
    }

    /// Whether the end of a backup waits until its WAL is archived (8.4 to 9.6).
    #[must_use]
    pub fn archives_at_backup_end(self) -> bool {
        (PgMajor::of(8, 4)..PgMajor::of(10, 0)).contains(&self)
    }

    /// Asks for the last failure of archive_command, if no WAL file was archived since: file, time and the
    /// number of failures. From 9.4 on.
    #[must_use]
    pub fn archiver_failure(self) -> Option<&'static str> {
        (self >= PgMajor::of(9, 4)).then_some(
            "select last_failed_wal, last_failed_time, failed_count from pg_stat_archiver \
             where last_failed_time > coalesce(last_archived_time, '-infinity')",
        )
    }

    /// Names the session in pg_stat_activity (9.0 on).
    pub(crate) fn name_session(self) -> Option<&'static str> {
        (self >= PgMajor::of(9, 0)).then_some("set application_name = 'twowarm'")
    }

    /// Makes commits in the session independent of synchronous standbys (9.1 on).
    pub(crate) fn commit_alone(self) -> Option<&'static str> {
        (self >= PgMajor::of(9, 1)).then_some("set synchronous_commit = local")
    }

    /// A transaction that writes WAL and leaves nothing behind.
    pub(crate) fn committed_write(self) -> &'static str {
        if self >= PgMajor::of(8, 3) {
            "select txid_current()"
        } else {
            "create temporary table twowarm_write (); drop table twowarm_write"
        }
    }

    /// When the last replayed transaction was committed, and how many seconds ago that is; empty if none was replayed.
    /// From 9.1 on.
    pub(crate) fn last_replayed_transaction(self) -> Option<&'static str> {
        (self >= PgMajor::of(9, 1)).then_some(
            "select t, extract(epoch from clock_timestamp() - t) from pg_last_xact_replay_timestamp() t",
        )
    }
}

#[cfg(feature = "ship")]
impl PgMajor {
    /// The process ids of the other sessions of clients.
    pub(crate) fn other_sessions(self) -> String {
        self.of_other_sessions("")
    }

    /// Ends the other sessions of clients. From 8.4 on.
    pub(crate) fn terminate_other_sessions(self) -> Option<String> {
        (self >= PgMajor::of(8, 4)).then(|| self.of_other_sessions("pg_terminate_backend"))
    }

    fn of_other_sessions(self, function: &str) -> String {
        let id = if self >= PgMajor::of(9, 2) { "pid" } else { "procpid" };
        let is_client = match self {
            _ if self >= PgMajor::of(10, 0) => "backend_type = 'client backend'",
            _ if self >= PgMajor::of(9, 2) => "query not like 'autovacuum: %'",
            _ => "current_query not like 'autovacuum: %'",
        };
        format!(
            "select {function}({id}) from pg_stat_activity where {id} <> pg_backend_pid() and {is_client}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::tests::changes;

    #[test]
    fn backup_statements_change_with_the_version() {
        changes(
            |m| m.backup_start("l"),
            &[
                ("8.2", "select pg_start_backup('l', true, false)"),
                ("15", "select pg_backup_start('l', true)"),
            ],
        );
        changes(
            PgMajor::backup_stop,
            &[
                ("8.2", "select lsn, labelfile, spcmapfile from pg_stop_backup(false)"),
                ("10", "select lsn, labelfile, spcmapfile from pg_stop_backup(false, false)"),
                ("15", "select lsn, labelfile, spcmapfile from pg_backup_stop(false)"),
            ],
        );
        changes(PgMajor::has_session_backup, &[("8.2", false), ("9.6", true)]);
        changes(PgMajor::archives_at_backup_end, &[("8.2", false), ("8.4", true), ("10", false)]);
        changes(
            |m| m.exclusive_backup_start("l"),
            &[("8.2", "select pg_start_backup('l')"), ("8.4", "select pg_start_backup('l', true)")],
        );
        let spreads = [("8.2", false), ("8.3", true), ("8.4", false)];
        changes(PgMajor::spreads_backup_checkpoint, &spreads);
        changes(PgMajor::has_tablespace_map, &[("8.2", false), ("9.5", true)]);
    }

    #[test]
    fn other_statements_change_with_the_version() {
        changes(
            PgMajor::switch_wal,
            &[("8.2", "select pg_switch_xlog()"), ("10", "select pg_switch_wal()")],
        );
        changes(
            PgMajor::in_recovery,
            &[("8.2", "select false"), ("9.0", "select pg_is_in_recovery()")],
        );
        changes(
            |m| m.system_identifier().unwrap_or("none"),
            &[("8.2", "none"), ("9.6", "select system_identifier from pg_control_system()")],
        );
        let archiver = |m: PgMajor| m.archiver_failure().is_some();
        changes(archiver, &[("8.2", false), ("9.4", true)]);
        changes(|m| m.name_session().is_some(), &[("8.2", false), ("9.0", true)]);
        changes(
            |m| m.commit_alone().unwrap_or("none"),
            &[("8.2", "none"), ("9.1", "set synchronous_commit = local")],
        );
        changes(
            |m| m.committed_write().split(' ').next().unwrap_or_default(),
            &[("8.2", "create"), ("8.3", "select")],
        );
    }

    #[test]
    fn a_version_that_is_newer_than_the_supported_ones_has_the_newest_statements() {
        let [eighteen, newer] = ["18", "20"].map(|major| major.parse::<PgMajor>().unwrap());
        assert_eq!(newer.backup_start("l"), eighteen.backup_start("l"));
        assert_eq!(newer.backup_stop(), eighteen.backup_stop());
    }
}
