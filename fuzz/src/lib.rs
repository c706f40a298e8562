//! Fuzz targets for parsers of data that comes from outside: the network, a server's files, the user's files.
//!
//! Each target is a function of bytes. `fuzz_targets/` runs it under libFuzzer; `tests/corpus.rs` runs it on the
//! files of `corpus/`. It must not panic, and checks that printing what was parsed and parsing it again gives the
//! same value where the type can be printed.
//!
//! Without a target are parsers that are private to twowarm-core and have unit tests there: the output of `ssh -G`,
//! `ssh-keygen -F` and rsync, `tablespace_map`, `postmaster.opts`, and twowarm's own `.twowarm_recovery`. The marks
//! `.archive` and `archive_id` are compared, not parsed.

mod node;
mod ship;
mod wal;

pub use node::*;
pub use ship::*;
pub use wal::*;

/// A target: its name, which is that of its folder in `corpus/` too, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("archive_owner", archive_owner),
    ("backup_history", backup_history),
    ("backup_label", backup_label),
    ("config_file", config_file),
    ("control_file", control_file),
    ("copy_marker", copy_marker),
    ("copy_message", copy_message),
    ("environment", environment),
    ("fetch_message", fetch_message),
    ("lsn", lsn),
    ("node_name", node_name),
    ("pg_version", pg_version),
    ("postmaster_pid", postmaster_pid),
    ("receipt", receipt),
    ("recovery_conf", recovery_conf),
    ("restart_point", restart_point),
    ("segment_header", segment_header),
    ("segment_walk", segment_walk),
    ("settings", settings),
    ("timeline_history", timeline_history),
    ("trigger", trigger),
    ("wal_file_name", wal_file_name),
    ("wire_content", wire_content),
    ("wire_frame", wire_frame),
    ("wire_message", wire_message),
];

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}
