//! The 2warm scripts as commands: one module each, called by a binary of the script's name.

mod command;
pub mod config_setup;
pub mod exit_codes;
pub mod restore_wal_file;
