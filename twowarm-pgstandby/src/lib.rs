//! `pg_standby`, a drop-in replacement for PostgreSQL's contrib program and for 2warm's enhanced
//! version.

mod archive;
mod arguments;
mod cleanup;
mod dialect;
mod exit_codes;
mod getopt;
mod help;
mod interrupts;
#[cfg(test)]
mod man;
mod messages;
mod numbers;
mod options;
mod orders;
mod policy;
mod program;
mod verify;

pub use program::main;
