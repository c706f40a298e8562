//! verifyArchive, on archives that a real server wrote.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod archive;
mod damage;
