//! The types of `twowarm_core::wal`, with files that real servers wrote and with constructed ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod archives;
mod files;
mod headers;
mod histories;
mod names;
mod samples;
mod segments;
