//! The 2warm scripts as commands: one module each, called by a binary of the script's name.

pub mod archive_wal_file;
mod command;
pub mod config_setup;
pub mod exit_codes;
pub mod restore_wal_file;
pub mod receive_wal_file;
