//! What all commands have in common: they find the 2warm tree, answer `debug`, `--help`, `--man` and `--version`,
//! and end with an exit code and one message on stderr.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use log::LevelFilter;
use twowarm_core::Retryable;
use twowarm_core::node::{Caller, Install, Invocation};

use crate::ancestors;
use crate::exit_codes::{BAD_ARGUMENTS, BUG, DONE, ExitPolicy, FAILED};
use crate::manual::Manual;

/// A command.
pub struct Command {
    /// Its name and documentation.
    pub(crate) manual: Manual,
    /// Who calls it.
    pub(crate) caller: Caller,
    /// The exit codes of its failures.
    pub(crate) failures: ExitPolicy,
    /// What to do if the 2warm tree can't be read; most commands fail.
    pub(crate) misconfigured: Option<Misconfigured>,
    /// The work of the command. It gets no arguments if the documentation lists none.
    pub(crate) run: fn(&Install, &[OsString]) -> Result<u8, Failure>,
}

/// What a command with these arguments does if the 2warm tree can't be read. The result is its exit code, or none
/// if it is to continue when the tree can be read.
pub(crate) type Misconfigured = fn(&[OsString], &str, ReadAgain<'_>) -> Option<u8>;

/// Reads the 2warm tree once more.
pub(crate) type ReadAgain<'a> = &'a mut dyn FnMut() -> Result<(), String>;

/// Why the 2warm tree can't be read.
struct Unreadable {
    why: String,
    is_temporary: bool,
}

/// Why a command failed.
pub(crate) enum Failure {
    /// The arguments are invalid.
    Usage(String),
    /// The command refused or failed.
    Failed(Box<dyn Error + Send + Sync>),
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(Box::new(error))
    }
}

/// The problem with an argument that the command does not have.
pub(crate) fn invalid_argument(argument: &OsStr) -> String {
    format!("invalid argument: {}", argument.to_string_lossy())
}

impl Command {
    /// Runs the command.
    pub fn main(&self) -> ExitCode {
        ExitCode::from(self.exit_code(|| {
            // The default hook writes several lines, and panics itself if stderr is closed.
            panic::set_hook(Box::new(|info| log::error!("internal error, please report: {info}")));
            start_log(self.manual.name);
            self.answer()
        }))
    }

    /// The exit code of work that may fail or panic. Rust's own exit code for a panic, 101, would end recovery.
    fn exit_code(&self, work: impl FnOnce() -> Result<u8, u8>) -> u8 {
        let code = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(BUG));
        code.unwrap_or_else(|failure| self.failures.code(failure))
    }

    fn answer(&self) -> Result<u8, u8> {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        let documentation = match arguments.first().and_then(|a| a.to_str()) {
            Some("--help") => Some(self.manual.help(self.failures)),
            Some("--man") => Some(self.manual.man_page(self.failures)),
            Some("--version") => {
                Some(format!("{} (twowarm) {}\n", self.manual.name, env!("CARGO_PKG_VERSION")))
            }
            _ => None,
        };
        if let Some(text) = documentation {
            print(&text);
            return Ok(DONE);
        }
        let install = match self.find() {
            Ok(install) => install,
            Err(unreadable) => {
                let mut found = None;
                let mut read_again =
                    || self.find().map(|install| found = Some(install)).map_err(|e| e.why);
                let act = self.misconfigured;
                match act.and_then(|act| act(&arguments, &unreadable.why, &mut read_again)) {
                    Some(code) => return Ok(code),
                    None => found.map_or_else(|| self.find_later(unreadable), Ok)?,
                }
            }
        };
        self.report_settings(&install);
        if arguments.first().is_some_and(|a| a == "debug") {
            print(&install.describe());
            return Ok(DONE);
        }
        if self.manual.arguments.is_empty() && !arguments.is_empty() {
            return Err(self.report(Failure::Usage("too many arguments".into())));
        }
        (self.run)(&install, &arguments).map_err(|failure| self.report(failure))
    }

    /// Warns about ignored lines in `environment.sh` and an assumed PGDATA. Not under a server, which calls
    /// commands for every segment and would fill its log.
    fn report_settings(&self, install: &Install) {
        let is_for_person = self.caller == Caller::Person && !ancestors::include_server();
        let level = |level| if is_for_person { level } else { log::Level::Debug };
        if let Some(lines) = install.environment.ignored_lines() {
            let file = install.local().join("environment.sh");
            log::log!(
                level(log::Level::Warn),
                "{}: only assignments are read, other lines are ignored: {lines}",
                file.display()
            );
        }
        if let (Some([other, dr]), Some(node)) = (&install.same_nodes, &install.other_node) {
            log::log!(
                level(log::Level::Warn),
                "{node} is the other node in \"{}\" and also the DR node in \"{}\", so there is no DR node. HINT: write a third node into the latter, or empty it",
                other.display(),
                dr.display()
            );
        }
        if let (Some(pgdata), Some(named_by)) = (&install.pgdata, &install.pgdata_named_by)
            && named_by.is_assumed()
        {
            let pgdata = pgdata.display();
            log::log!(level(log::Level::Info), "PGDATA is \"{pgdata}\" (set by {named_by})");
        }
    }

    fn find(&self) -> Result<Install, Unreadable> {
        let call = Invocation::current().map_err(|e| Unreadable {
            why: format!("could not determine the working directory: {e}"),
            is_temporary: false,
        })?;
        Install::find(&call, self.caller)
            .map_err(|e| Unreadable { why: e.to_string(), is_temporary: e.is_retryable() })
    }

    /// Reads the 2warm tree again, some times. A server stops at an exit code above 125, so it does not see a
    /// temporary I/O error.
    fn find_later(&self, mut unreadable: Unreadable) -> Result<Install, u8> {
        for _ in 1..TRIES {
            if !unreadable.is_temporary || self.caller != Caller::Server {
                break;
            }
            thread::sleep(BETWEEN_TRIES);
            match self.find() {
                Ok(install) => return Ok(install),
                Err(again) => unreadable = again,
            }
        }
        log::error!("{}", unreadable.why);
        Err(FAILED)
    }

    fn report(&self, failure: Failure) -> u8 {
        match failure {
            Failure::Usage(problem) => {
                log::error!("{problem}; usage: {}", self.manual.usage());
                BAD_ARGUMENTS
            }
            Failure::Failed(error) => {
                log::error!("{error}");
                FAILED
            }
        }
    }
}

/// How often reading the 2warm tree is tried under a server, and the time between attempts.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Writes to stdout. A closed stdout is not an error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Messages go to stderr, one line each, with the name of the command; under a server that is its log.
/// `TWOWARM_LOG` sets the level: `error`, `warn`, `info` (the default), `debug` or `trace`.
fn start_log(name: &'static str) {
    // env_logger's own parser panics if it has to complain and stderr is closed.
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
        log::warn!("invalid TWOWARM_LOG={asked}: use error, warn, info, debug or trace");
    }
}

/// The arguments of a command, for tests.
#[cfg(test)]
pub(crate) fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive_wal_file::COMMAND as ARCHIVE;
    use crate::exit_codes::STOP_SERVER;
    use crate::restore_wal_file::COMMAND as RESTORE;

    #[test]
    fn a_panic_never_ends_a_recovery() {
        let panics = || -> Result<u8, u8> { panic!("as a bug would") };
        assert_eq!(RESTORE.exit_code(panics), STOP_SERVER);
        assert_eq!(ARCHIVE.exit_code(panics), BUG);
    }

    /// As in 2warm's scripts, in which every failed check exits 1.
    #[test]
    fn every_failure_but_invalid_arguments_is_1() {
        assert_eq!(ARCHIVE.report(Failure::Failed("bad".into())), FAILED);
        assert_eq!(ARCHIVE.report(Failure::Usage("bad".into())), BAD_ARGUMENTS);
    }

    #[test]
    fn no_failure_of_restore_wal_file_ends_a_recovery() {
        for failure in [Failure::Usage("bad".into()), Failure::Failed("bad".into())] {
            let code = RESTORE.exit_code(|| Err(RESTORE.report(failure)));
            assert_eq!(code, STOP_SERVER);
        }
        assert_eq!(RESTORE.exit_code(|| Ok(1)), 1, "an answer is not a failure");
    }
}
