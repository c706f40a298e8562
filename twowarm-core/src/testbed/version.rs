//! What only tests need to know of how servers differ.

use crate::version::PgMajor;

const V8_3: PgMajor = PgMajor::of(8, 3);
const V9_0: PgMajor = PgMajor::of(9, 0);
const V9_1: PgMajor = PgMajor::of(9, 1);
const V9_4: PgMajor = PgMajor::of(9, 4);
const V10: PgMajor = PgMajor::of(10, 0);
const V11: PgMajor = PgMajor::of(11, 0);
const V12: PgMajor = PgMajor::of(12, 0);

impl PgMajor {
    /// From 8.3 on pg_ctl takes a time limit (`-t`).
    pub fn has_pg_ctl_time_limit(self) -> bool {
        self >= V8_3
    }

    /// From 8.3 on a promotion begins a new timeline. 8.2.0 continues the one that it replayed.
    pub fn promotes_to_new_timeline(self) -> bool {
        self >= V8_3
    }

    /// From 11 on initdb has the option `--wal-segsize`.
    pub fn has_segment_size_option(self) -> bool {
        self >= V11
    }

    /// From 9.0 on a server in recovery can let clients in.
    pub fn has_hot_standby(self) -> bool {
        self >= V9_0
    }

    /// From 9.1 on `create unlogged table` exists.
    pub fn has_unlogged_tables(self) -> bool {
        self >= V9_1
    }

    /// From 9.4 on `alter system` writes settings into postgresql.auto.conf.
    pub fn has_alter_system(self) -> bool {
        self >= V9_4
    }

    /// From 12 on a function promotes.
    pub fn has_promote_function(self) -> bool {
        self >= V12
    }

    /// The position up to which a hot standby has replayed.
    pub fn last_replayed(self) -> &'static str {
        if self >= V10 {
            "select pg_last_wal_replay_lsn()"
        } else {
            "select pg_last_xlog_replay_location()"
        }
    }

    /// Which line of postmaster.pid, counted from 0, ends with the server's shared memory segment.
    pub(super) fn shared_memory_line(self) -> usize {
        if self >= V9_1 { 6 } else { 2 }
    }
}
