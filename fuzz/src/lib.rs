//! What must hold for every parser of outside bytes: no panic, and what is read prints as it was.
//!
//! Each body is a function of bytes; `fuzz_targets/` hands them to libFuzzer, `tests/corpus.rs` replays
//! the corpus over them.

mod ship;
mod wal;

pub use ship::*;
pub use wal::*;

/// A body by the name of its target and of its folder under `corpus/`.
pub type Body = (&'static str, fn(&[u8]));

/// All of them.
pub const BODIES: &[Body] = &[
    ("archive_owner", archive_owner),
    ("backup_history", backup_history),
    ("backup_label", backup_label),
    ("control_file", control_file),
    ("copy_message", copy_message),
    ("lsn", lsn),
    ("pg_version", pg_version),
    ("segment_header", segment_header),
    ("segment_walk", segment_walk),
    ("timeline_history", timeline_history),
    ("wal_file_name", wal_file_name),
    ("wire_frame", wire_frame),
    ("wire_message", wire_message),
];
