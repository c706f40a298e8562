//! The restore_command of a warm standby: waits for a file in the archive, checks it, restores it, and
//! prunes the archive. The file `trigger` in the data directory, or `pg_ctl promote`, ends recovery.
//!
//! `restore_command = 'exec restore_loop /mnt/archive %f %p %r'`

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use twowarm_core::restore::{Outcome, RestoreRequest, StandbyRestore, restore_command};

fn main() -> ExitCode {
    log::set_logger(&ServerLog).expect("no other logger is set");
    log::set_max_level(log::LevelFilter::Info);
    restore_command(restore)
}

fn restore() -> Result<Outcome, Box<dyn Error>> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (archive, request) = arguments.split_first().ok_or("usage: ARCHIVE %f %p %r")?;
    let request = RestoreRequest::from_arguments(request)?;
    // A server calls it in its data directory.
    let mut restore = StandbyRestore::new(request, env::current_dir()?, archive);
    // No other consumer needs this archive, so that segments before %r may be removed.
    restore.consumers = Some(Vec::new());
    Ok(restore.run()?)
}

/// Standard error is the server's log.
struct ServerLog;

impl log::Log for ServerLog {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        let _ = writeln!(io::stderr(), "{}: {}", record.level(), record.args());
    }
    fn flush(&self) {}
}
