//! The 2warm scripts as commands: one module each, called by a binary of the script's name.

mod ancestors;
pub mod archive_wal_file;
mod command;
pub mod config_facts;
pub mod config_standby;
pub mod copy_to_standby;
pub mod distrib_2warm;
pub mod exit_codes;
mod interruption;
mod misconfigured_standby;
pub mod receive_base_copy;
pub mod receive_wal_file;
pub mod restore_wal_file;
pub mod trigger_standby;
