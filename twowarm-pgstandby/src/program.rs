//! The program: arguments, one restore, exit code.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::panic;
use std::path::Path;
use std::process::ExitCode;

use twowarm_core::data_directory::major_version;
use twowarm_core::restore::{Outcome, RealClock, restore_loop};
use twowarm_core::trigger::TriggerFile;
use twowarm_core::version::PgMajor;
use twowarm_core::watch::{Events, Watcher};

use crate::archive::{Archived, Kind, describe_cleanup};
use crate::arguments::{Arguments, Refusal, choose_dialect, read};
use crate::dialect::Dialect;
use crate::exit_codes::{NOT_RESTORED, RESTORED, STOP_SERVER, USAGE};
use crate::getopt::{Item, items};
use crate::help::{help, version};
use crate::interrupts::Interrupts;
use crate::messages::{print, say, start_log};
use crate::orders::{OnlyTheServer, Orders, PROMOTE, consume_trigger};
use crate::policy::ContribPolicy;
use crate::verify::Verifier;

/// `pg_standby`'s main. A panic exits above 125, since the exit code of a Rust panic (101) would end
/// recovery.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| say(&format!("internal error, please report: {info}"))));
    ExitCode::from(panic::catch_unwind(run).unwrap_or(STOP_SERVER))
}

fn run() -> u8 {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = typed.first().map(|argument| argument.as_bytes().to_vec());
    let posixly_correct = std::env::var_os("POSIXLY_CORRECT").is_some();
    let items = items(typed, posixly_correct);
    // A server calls its restore_command in the data directory.
    let server = major_version(Path::new(".")).ok().flatten();
    let dialect = match choose_dialect(&items, std::env::var_os("PG_STANDBY_DIALECT"), server) {
        Ok(dialect) => dialect,
        Err(refusal) => return refuse(refusal, Dialect::V13),
    };
    match first.as_deref() {
        Some(b"--help" | b"-?") if dialect != Dialect::V8_3 => {
            print(&help(dialect));
            RESTORED
        }
        Some(b"--version" | b"-V") if dialect != Dialect::V8_3 => {
            print(&version(dialect));
            RESTORED
        }
        _ => serve(items, dialect, server),
    }
}

fn serve(items: Vec<Item>, dialect: Dialect, server: Option<PgMajor>) -> u8 {
    // Before the options are read: dialect 8.3 can trigger a failover while it reads them.
    let (interrupts, interrupt) = match Interrupts::install() {
        Ok(installed) => installed,
        Err(e) => {
            say(&format!("could not install signal handlers: {e}"));
            return STOP_SERVER;
        }
    };
    let arguments = match read(items, dialect, server, &|trigger| trigger.metadata().is_ok()) {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(refusal, dialect),
    };
    start_log(arguments.log_level);
    if let Err(e) = std::fs::metadata(&arguments.archive) {
        let archive = arguments.archive.to_string_lossy();
        say(&format!("archive location \"{archive}\" does not exist or is not accessible: {e}"));
        return USAGE;
    }
    let name = arguments.next.to_str().and_then(|name| name.parse().ok());
    let verifier =
        match name.filter(|_| arguments.verify).map(|name| Verifier::new(name, Path::new("."))) {
            Some(Err(problem)) => {
                say(&problem);
                return STOP_SERVER;
            }
            Some(Ok(verifier)) => Some(verifier),
            None => None,
        };
    let mut archived = Archived::new(&arguments, verifier);
    if arguments.debug || arguments.verbosity >= 3 {
        describe(&arguments, &archived);
    }
    let (kind, path) = (archived.kind(), archived.path().to_owned());
    let trigger = arguments.trigger.as_deref();
    let promote = dialect.obeys_promote().then_some(Path::new(PROMOTE));
    let watched = [Some(path.as_path()), trigger, promote].into_iter().flatten();
    let watcher = Watcher::new(watched, Events::Wanted).interrupted_by(interrupt);
    let mut clock = RealClock::new(watcher);
    let mut policy = ContribPolicy::new(&arguments, kind);
    let outcome = if kind == Kind::History {
        let mut orders = OnlyTheServer::new(interrupts);
        restore_loop(&mut archived, &mut orders, &mut clock, &mut policy)
    } else {
        let asks_twice = server.is_some_and(PgMajor::asks_twice);
        let mut orders = Orders::new(&arguments, interrupts, asks_twice);
        restore_loop(&mut archived, &mut orders, &mut clock, &mut policy)
    };
    match outcome {
        Outcome::Restored => {
            archived.prune();
            RESTORED
        }
        Outcome::GaveUp(_) => NOT_RESTORED,
        Outcome::Exit(code) => code,
        Outcome::Stopped(why) => {
            say(&why);
            STOP_SERVER
        }
    }
}

fn refuse(refusal: Refusal, dialect: Dialect) -> u8 {
    match refusal {
        Refusal::Message(code, problem) => {
            if dialect == Dialect::V8_3 {
                // 8.3 has no --help: it prints its options after an error.
                say(&format!("{problem}\n{}", help(dialect)));
            } else {
                say(&format!(
                    "{problem}\npg_standby: HINT: Try \"pg_standby --help\" for more information."
                ));
            }
            code
        }
        Refusal::Triggered(path) => match consume_trigger(&TriggerFile::new(&path)) {
            Ok(()) => NOT_RESTORED,
            Err(problem) => {
                say(&problem);
                STOP_SERVER
            }
        },
    }
}

fn describe(arguments: &Arguments, archived: &Archived) {
    let trigger = arguments.trigger.as_ref();
    say(&format!(
        "trigger file: {}",
        trigger.map_or("<not set>".into(), |t| t.display().to_string())
    ));
    say(&format!("waiting for WAL file: {}", arguments.next.to_string_lossy()));
    say(&format!("WAL file path: {}", archived.path().display()));
    say(&format!("restoring to: {}", arguments.target.display()));
    say(&format!("sleep interval: {} seconds", arguments.poll.as_secs()));
    match arguments.limit {
        Some(limit) => say(&format!("max wait interval: {} seconds", limit.as_secs())),
        None => say("max wait interval: none"),
    }
    say(&format!("restore method: {}", if arguments.link { "symbolic link" } else { "copy" }));
    say(&describe_cleanup(archived.oldest_kept()));
}
