//! The commands of 2warm: one module each, called by a binary with the name of the script.

mod ancestors;
pub mod archive_wal_file;
mod base_copy;
mod command;
pub mod config_facts;
pub mod config_standby;
pub mod copy_to_dr;
pub mod copy_to_standby;
pub mod distrib_2warm;
pub mod exit_codes;
mod far_end;
pub mod flush_primary;
mod interruption;
mod manual;
pub mod receive_base_copy;
pub mod receive_wal_file;
pub mod restore_wal_file;
mod roff;
pub mod rsync_dr;
pub mod send_wal_file;
pub mod switchover;
pub mod trigger_standby;
pub mod verify_archive;
