//! What every command does before and after its own work: find the 2warm tree, answer `debug`,
//! `--help` and `--version`, and turn every way to end into an exit code and one line.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use log::LevelFilter;
use twowarm_core::node::{Caller, Install, InstallError, Invocation};

use crate::ancestors;
use crate::exit_codes::{BAD_ARGUMENTS, BUG, DONE, FAILED, STOP_SERVER};

/// A command, as its binary describes it.
pub(crate) struct Command {
    /// The script's name.
    pub name: &'static str,
    /// Its arguments, for `--help` and for bad calls: `PATH NAME`.
    pub arguments: &'static str,
    /// What it does, in a few lines.
    pub about: &'static str,
    /// Who calls it.
    pub caller: Caller,
    /// What to do where the 2warm tree can't be read, other than failing.
    pub misconfigured: fn(&[OsString], &mut Problem) -> Misconfigured,
    /// Its own work.
    pub run: fn(&Install, &[OsString]) -> Result<u8, Failure>,
}

/// What becomes of a command whose 2warm tree can't be read.
pub(crate) enum Misconfigured {
    /// It fails.
    Fails,
    /// It has waited until the tree could be read.
    Corrected,
    /// It has done its work without the tree, and ends with this code.
    Ended(u8),
}

/// A 2warm tree that can't be read.
pub(crate) struct Problem<'a> {
    /// Why, in words.
    pub why: String,
    look_again: &'a mut dyn FnMut() -> Result<(), String>,
}

impl Problem<'_> {
    /// Reads the tree once more; whether it is corrected.
    pub fn is_corrected(&mut self) -> bool {
        match (self.look_again)() {
            Ok(()) => true,
            Err(why) => {
                self.why = why;
                false
            }
        }
    }
}

/// What most commands do without a 2warm tree: fail.
pub(crate) fn fails(_arguments: &[OsString], _problem: &mut Problem) -> Misconfigured {
    Misconfigured::Fails
}

/// Why a command could not do its work.
pub(crate) enum Failure {
    /// The arguments are wrong.
    Usage(String),
    /// It was refused or failed.
    Failed(Box<dyn Error + Send + Sync>),
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(Box::new(error))
    }
}

impl Command {
    /// The whole life of the process.
    pub fn main(&self) -> ExitCode {
        ExitCode::from(self.exit_code(|| {
            // The default hook's several lines would land in the server's log; ours is one, and can't
            // itself panic when stderr is gone.
            panic::set_hook(Box::new(|info| log::error!("bug, please report: {info}")));
            start_log(self.name);
            self.answer()
        }))
    }

    /// The exit code of work that may fail or panic; a panic's own code, 101, would end a recovery.
    fn exit_code(&self, work: impl FnOnce() -> Result<u8, u8>) -> u8 {
        let code = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(BUG));
        code.unwrap_or_else(|code| self.failure_code(code))
    }

    /// To a server in recovery, codes 1 to 125 say that the WAL ends here, so restoreWALFile has one
    /// code for all failures, above them.
    fn failure_code(&self, code: u8) -> u8 {
        if self.name == "restoreWALFile" { STOP_SERVER } else { code }
    }

    fn answer(&self) -> Result<u8, u8> {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        match arguments.first().and_then(|a| a.to_str()) {
            Some("--help") => {
                print(&format!("Usage: {} {}\n\n{}\n", self.name, self.arguments, self.about));
                return Ok(DONE);
            }
            Some("--version") => {
                print(&format!("{} (twowarm) {}\n", self.name, env!("CARGO_PKG_VERSION")));
                return Ok(DONE);
            }
            _ => {}
        }
        let find = || {
            Invocation::current()
                .map_err(|e| format!("the working directory can't be read: {e}"))
                .and_then(|call| self.find(&call).map_err(|e| e.to_string()))
        };
        let install = match find() {
            Ok(install) => install,
            Err(why) => {
                let mut found = None;
                let look_again = &mut || find().map(|install| found = Some(install));
                let mut problem = Problem { why, look_again };
                let next = (self.misconfigured)(&arguments, &mut problem);
                let why = problem.why;
                match (next, found) {
                    (Misconfigured::Corrected, Some(install)) => install,
                    (Misconfigured::Ended(code), _) => return Ok(code),
                    _ => {
                        log::error!("{why}");
                        return Err(FAILED);
                    }
                }
            }
        };
        self.tell_of(&install);
        if arguments.first().is_some_and(|a| a == "debug") {
            print(&install.describe());
            return Ok(DONE);
        }
        (self.run)(&install, &arguments).map_err(|failure| self.report(failure))
    }

    /// What a person should know of how the tree was read. A server's log would be full of it: commands are
    /// called for every segment, by the server itself or by scripts.
    fn tell_of(&self, install: &Install) {
        let is_for_person = self.caller == Caller::Person && !ancestors::include_server();
        let level = |level| if is_for_person { level } else { log::Level::Debug };
        if let Some(lines) = install.environment.passed_over() {
            let file = install.local().join("environment.sh");
            log::log!(
                level(log::Level::Warn),
                "{}: only assignments are read, nothing is run; passed over: {lines}",
                file.display()
            );
        }
        if let (Some(pgdata), Some(named_by)) = (&install.pgdata, &install.pgdata_named_by)
            && named_by.is_assumed()
        {
            let pgdata = pgdata.display();
            log::log!(level(log::Level::Info), "PGDATA is {pgdata} (set by {named_by})");
        }
    }

    /// A server stops over an exit above 125, so a file system that stumbles is given a moment.
    fn find(&self, call: &Invocation) -> Result<Install, InstallError> {
        let mut tries = 1;
        loop {
            match Install::find(call, self.caller) {
                Err(e) if e.is_retryable() && self.caller == Caller::Server && tries < TRIES => {
                    thread::sleep(BETWEEN_TRIES);
                    tries += 1;
                }
                found => return found,
            }
        }
    }

    fn report(&self, failure: Failure) -> u8 {
        match failure {
            Failure::Usage(problem) => {
                log::error!("{problem}; usage: {} {}", self.name, self.arguments);
                BAD_ARGUMENTS
            }
            Failure::Failed(error) => {
                log::error!("{error}");
                FAILED
            }
        }
    }
}

/// How often a 2warm tree is read that can't be read, and how far apart.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Writes to stdout; a closed one is no reason to fail.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Messages go to stderr, a line each, with the command's name: under a server that is its log.
/// `TWOWARM_LOG` says how many: `error`, `warn`, `info` (as without it), `debug` or `trace`.
fn start_log(name: &'static str) {
    // Not env_logger's own reading of it, which panics when it has to complain and stderr is gone.
    let asked = std::env::var("TWOWARM_LOG").unwrap_or_default();
    let level = asked.parse();
    env_logger::Builder::new()
        .filter_level(level.as_ref().map_or(LevelFilter::Info, |&level| level))
        .format(move |out, record| {
            let text = record.args().to_string();
            let line = text.lines().collect::<Vec<_>>().join(" ");
            match record.level() {
                log::Level::Error => writeln!(out, "{name}: ERROR: {line}"),
                log::Level::Warn => writeln!(out, "{name}: WARNING: {line}"),
                _ => writeln!(out, "{name}: {line}"),
            }
        })
        .init();
    if level.is_err() && !asked.is_empty() {
        log::warn!("TWOWARM_LOG={asked} is not a level: error, warn, info, debug or trace");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &'static str) -> Command {
        let run = |_: &Install, _: &[OsString]| Ok(DONE);
        Command {
            name,
            arguments: "",
            about: "",
            caller: Caller::Server,
            misconfigured: fails,
            run,
        }
    }

    #[test]
    fn a_panic_never_ends_a_recovery() {
        let panics = || -> Result<u8, u8> { panic!("as a bug would") };
        assert_eq!(command("restoreWALFile").exit_code(panics), STOP_SERVER);
        assert_eq!(command("archiveWALFile").exit_code(panics), BUG);
    }

    /// As in 2warm's scripts, whose every check exits 1.
    #[test]
    fn whatever_is_wrong_but_the_arguments_is_1() {
        let archive = command("archiveWALFile");
        assert_eq!(archive.report(Failure::Failed("bad".into())), FAILED);
        assert_eq!(archive.report(Failure::Usage("bad".into())), BAD_ARGUMENTS);
    }

    #[test]
    fn no_failure_of_restore_wal_file_ends_a_recovery() {
        let restore = command("restoreWALFile");
        for failure in [Failure::Usage("bad".into()), Failure::Failed("bad".into())] {
            let code = restore.exit_code(|| Err(restore.report(failure)));
            assert_eq!(code, STOP_SERVER);
        }
        assert_eq!(restore.exit_code(|| Ok(1)), 1, "a wanted answer stays what it is");
    }
}
