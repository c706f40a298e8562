//! Differences between server versions that matter only to tests.

use crate::version::PgMajor;

impl PgMajor {
    /// The modes, as in 2warm.toml, in which a standby can be promoted: before 9.1 only warm mode.
    #[must_use]
    pub fn modes(self) -> &'static [&'static str] {
        if self.has_standby_mode_promotion() { &["standby", "warm"] } else { &["warm"] }
    }

    /// This mode if the version has it, else warm mode.
    #[must_use]
    pub fn mode_or_warm(self, mode: &str) -> &'static str {
        self.modes().iter().find(|known| **known == mode).unwrap_or(&"warm")
    }

    /// From 8.4 on a session can end another one.
    #[must_use]
    pub fn can_terminate_sessions(self) -> bool {
        self >= PgMajor::of(8, 4)
    }

    /// From 8.3 on pg_ctl has a time limit (`-t`).
    pub(super) fn has_pg_ctl_time_limit(self) -> bool {
        self >= PgMajor::of(8, 3)
    }

    /// From 10 on the configuration made by initdb allows streaming.
    #[must_use]
    pub fn streams_by_default(self) -> bool {
        self >= PgMajor::of(10, 0)
    }

    /// From 9.1 on a table can be unlogged.
    #[must_use]
    pub fn has_unlogged_tables(self) -> bool {
        self >= PgMajor::of(9, 1)
    }

    /// The arguments with which `pg_ctl start` waits for a server. Before 9.1 it waits by connecting to the default
    /// socket, which a standby refuses, so it is not made to wait.
    #[must_use]
    pub fn pg_ctl_start(self) -> &'static [&'static str] {
        if self >= PgMajor::of(9, 1) { &["start", "-w"] } else { &["start"] }
    }

    /// From 11 on initdb has the option `--wal-segsize`.
    #[must_use]
    pub fn has_segment_size_option(self) -> bool {
        self >= PgMajor::of(11, 0)
    }

    /// From 9.0 on a server in recovery can answer queries.
    #[must_use]
    pub fn has_hot_standby(self) -> bool {
        self >= PgMajor::of(9, 0)
    }

    /// From 12 on there is `pg_promote()`.
    #[must_use]
    pub fn has_promote_function(self) -> bool {
        self >= PgMajor::of(12, 0)
    }

    /// The name of the setting for the directory of the server's socket.
    pub(super) fn socket_setting(self) -> &'static str {
        if self >= PgMajor::of(9, 3) { "unix_socket_directories" } else { "unix_socket_directory" }
    }

    /// From 9.5 on settings in megabytes limit how much WAL is kept.
    #[must_use]
    pub fn has_wal_size_settings(self) -> bool {
        self >= PgMajor::of(9, 5)
    }

    /// From 9.4 on the kind of dynamic shared memory is a setting.
    pub(super) fn has_dynamic_shared_memory(self) -> bool {
        self >= PgMajor::of(9, 4)
    }

    /// The name of the segment that is being written.
    pub fn current_wal_file(self) -> &'static str {
        if self >= PgMajor::of(10, 0) {
            "select pg_walfile_name(pg_current_wal_lsn())"
        } else {
            "select pg_xlogfile_name(pg_current_xlog_location())"
        }
    }

    /// The position up to which WAL has been written.
    pub fn current_wal_position(self) -> &'static str {
        if self >= PgMajor::of(10, 0) {
            "select pg_current_wal_lsn()"
        } else {
            "select pg_current_xlog_location()"
        }
    }

    /// The query for the last WAL location that a hot standby has replayed.
    #[must_use]
    pub fn last_replayed(self) -> &'static str {
        if self >= PgMajor::of(10, 0) {
            "select pg_last_wal_replay_lsn()"
        } else {
            "select pg_last_xlog_replay_location()"
        }
    }

    /// The line of postmaster.pid, counted from 0, that ends with the id of the server's shared memory segment.
    pub(super) fn shared_memory_line(self) -> usize {
        if self >= PgMajor::of(9, 1) { 6 } else { 2 }
    }
}
