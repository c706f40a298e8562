//! triggerStandby: promotes this node's standby and waits until it is a primary.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use twowarm_core::data_directory::{RecoveryMode, recovery_settings, request_promotion};
use twowarm_core::durable;
use twowarm_core::node::{Caller, Install};
use twowarm_core::server::{DataDirectory, RunningServer, write_for_server};

use crate::archive_question::{ASK, Answer, Content, answer, ask};
use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::interruption::before_the_end;
use crate::manual::Manual;
use crate::patience::patiently;
use crate::promotion::{Ending, wait_until_open};

/// triggerStandby as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "triggerStandby",
        arguments: "[smart|fast] [--accept-gap] [--no-wait]",
        summary: "promotes this node's standby",
        description: "Promotes this node's standby. smart (the default) replays all WAL that has arrived first, fast \
            does not. smart refuses where a segment is missing in the archive and a later one is there; \
            with --accept-gap it replays what comes before. Waits until the server is open and a write \
            has been committed, then removes the trigger; with --no-wait, and where no server is running, \
            it returns at once and you must remove the trigger.",
        options: &[
            ("smart", "Replay all WAL that has arrived first (the default)."),
            ("fast", "Promote without replaying what has arrived."),
            ("--accept-gap", "Replay what comes before a missing segment."),
            ("--no-wait", "Return at once; you must remove the trigger file."),
        ],
        answers: &[(DONE, "Success.")],
        files: &[
            ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node."),
            ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node."),
            ("PGDATA/trigger", "The trigger file."),
        ],
        see_also: &["restoreWALFile(1)", "configStandby(1)", "pg_ctl(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: fails,
    run,
};

/// triggerStandby's main.
pub fn main() -> ExitCode {
    COMMAND.main()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Smart,
    Fast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    mode: Mode,
    accept_gap: bool,
    wait: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let (mut mode, mut accept_gap, mut wait) = (None, false, true);
        for argument in arguments {
            let wanted = match argument.to_str() {
                Some("smart") => Mode::Smart,
                Some("fast") => Mode::Fast,
                Some("--no-wait") => {
                    wait = false;
                    continue;
                }
                Some("--accept-gap") => {
                    accept_gap = true;
                    continue;
                }
                _ => return Err(format!("{} is no argument", argument.to_string_lossy())),
            };
            if mode.replace(wanted).is_some() {
                return Err("specify either smart or fast".into());
            }
        }
        Ok(Request { mode: mode.unwrap_or(Mode::Smart), accept_gap, wait })
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(
        "{0} holds no standby (it takes a cluster with standby.signal, recovery.signal or recovery.conf): was it promoted already?"
    )]
    NotAStandby(String),
    #[error(
        "the archive can't be read, so WAL that was shipped could be lost: {0} (\"triggerStandby fast\" does without it)"
    )]
    Archive(String),
    #[error(
        "timeline {newer}, which forked from this node's timeline {own}, has arrived but is not replayed: in standby mode the server follows it by itself, in warm mode after a restart; trigger it when it has followed"
    )]
    NewerTimeline { newer: String, own: String },
    #[error(
        "{missing} is missing but {found} is here, in {archive}: a failover would end before {missing} and lose what {found} and later ones hold. Copy {missing} into the archive from the primary's pg_wal (pg_xlog before 10) or from the DR node's archive; to go without, specify --accept-gap or fast"
    )]
    Gap { missing: String, found: String, archive: String },
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if arguments.first().is_some_and(|argument| argument == ASK) {
        return answer(install);
    }
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    let pgdata = install.require_pgdata()?;
    let found = DataDirectory::look(pgdata)?;
    if found.recovery.is_none() || found.control.is_none() {
        return Err(Refused::NotAStandby(pgdata.display().to_string()).into());
    }
    let had = check_archive(install, request)?;

    // What it ships once it is a primary would go back to where it came from.
    durable::remove(&install.archiving_active_file())?;
    let trigger = install.trigger_file()?;
    let (content, announced) = match request.mode {
        Mode::Smart => ("smart\n", "it opens when all WAL that has arrived is replayed"),
        Mode::Fast => ("fast\n", "it opens without replaying more WAL"),
    };
    let settings = recovery_settings(pgdata)?;
    let in_force = in_force(pgdata, &trigger, settings.mode);
    let (written, word) = (trigger.clone(), in_force.clone());
    before_the_end(move || {
        if written.exists() {
            log::warn!("interrupted: {word}");
        }
    })?;
    let triggered = Instant::now();
    write_for_server(pgdata, &trigger, content.as_bytes())?;
    let is_running = RunningServer::find(pgdata)?.is_some();
    // Its restore_command, which sees the trigger, is not called while it streams.
    let streams = is_running && settings.streams;
    if streams && let Err(e) = request_promotion(pgdata) {
        log::warn!("the server could not be asked to promote: {e}");
    }
    print(&format!("The server in {} is triggered: {announced}\n", pgdata.display()));
    if !is_running {
        print(&format!("No server is running in {}: start it\n", pgdata.display()));
    }
    if !request.wait || !is_running {
        print(&format!("Note: {in_force}\n"));
        return Ok(DONE);
    }
    let limit = install.settings.server.connect_limit;
    let ending = wait_until_open(pgdata, &install.login(), limit)?;
    let seconds = triggered.elapsed().as_secs_f64();
    if let Ending::Unreachable(why) = ending {
        return Err(failed(format!(
            "recovery has not ended yet, and whether it does can't be seen: {why}. Note: {in_force}"
        )));
    }
    for name in set_aside(ask(install, QUICK_LOOK)).difference(&had) {
        log::warn!(
            "{name} is in the archive now: recovery ended at a damaged segment, and what comes after the damage was not replayed (see the server's log)"
        );
    }
    durable::remove(&trigger)?;
    if streams {
        // The server deletes it when it obeys, unless its restore_command has asked it once more.
        durable::remove(&pgdata.join("promote"))?;
    }
    if let Ending::Unconfirmed(why) = ending {
        return Err(failed(format!(
            "the server was promoted, as pg_control says (in production), and the trigger is removed, but it is not confirmed that it commits: {why}"
        )));
    }
    print(&format!("The server is open: {seconds:.2} s from trigger to a committed write\n"));
    Ok(DONE)
}

/// What to know of a trigger that nobody removes for the user, and how to cancel it.
fn in_force(pgdata: &Path, trigger: &Path, mode: RecoveryMode) -> String {
    let trigger = trigger.display();
    let request = match mode {
        RecoveryMode::Standby => format!(" and {}", pgdata.join("promote").display()),
        RecoveryMode::Warm => String::new(),
    };
    format!(
        "the trigger {trigger} remains in force. When the server is open, delete it: left there, it would trigger the next standby here. To cancel the failover, delete {trigger}{request} before recovery ends; after that it can't be cancelled"
    )
}

fn failed(text: String) -> Failure {
    Failure::Failed(text.into())
}

/// The damaged files in an archive that could be read.
fn set_aside(answer: Answer) -> BTreeSet<String> {
    match answer {
        Answer::Read(content) => content.damaged,
        Answer::Failed(_) | Answer::Hung => BTreeSet::new(),
    }
}

/// No timeline may be in the archive that goes on where this one ends. Smart promotes with all that was
/// shipped, so neither an archive that can't be read nor one with a gap is a time for it; but one that hangs
/// must not hold up the failover for ever. Fast goes on without. Returns the damaged files that are there already.
fn check_archive(install: &Install, request: Request) -> Result<BTreeSet<String>, Failure> {
    let mode = request.mode;
    let archive = install.require_archive()?.display();
    let limit = install.settings.time_limit;
    let answer = match mode {
        Mode::Smart => patiently("the archive to answer", || ask(install, limit)),
        Mode::Fast => ask(install, QUICK_LOOK),
    };
    match (&answer, mode) {
        (Answer::Read(Content { newer: Some((newer, own)), .. }), _) => {
            let (newer, own) = (newer.clone(), own.clone());
            return Err(Refused::NewerTimeline { newer, own }.into());
        }
        (Answer::Read(Content { gap: Some((missing, found)), .. }), _) => {
            let (missing, found) = (missing.clone(), found.clone());
            if mode == Mode::Smart && !request.accept_gap {
                return Err(Refused::Gap { missing, found, archive: archive.to_string() }.into());
            }
            log::warn!(
                "{missing} is missing but {found} is here, in {archive}: recovery ends before {missing}, and what {found} and later ones hold is lost to this failover"
            );
        }
        (Answer::Failed(why), Mode::Smart) => {
            return Err(Refused::Archive(why.clone()).into());
        }
        (Answer::Hung, Mode::Smart) => log::warn!(
            "the archive {archive} did not answer within {} s: whether a newer timeline has arrived there could not be checked",
            limit.as_secs()
        ),
        (Answer::Read(_), _) | (_, Mode::Fast) => {}
    }
    Ok(set_aside(answer))
}

/// A fast failover, and the last look after any, are not held up by an archive that hangs for longer
/// than this.
const QUICK_LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Request> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Request::parse(&words).ok()
    }

    #[test]
    fn arguments_in_any_order() {
        let smart = Request { mode: Mode::Smart, accept_gap: false, wait: true };
        let fast = Request { mode: Mode::Fast, accept_gap: false, wait: false };
        assert_eq!(parse(&[]), Some(smart));
        assert_eq!(parse(&["smart"]), Some(smart));
        assert_eq!(parse(&["--no-wait", "fast"]), Some(fast));
        assert_eq!(parse(&["fast", "--no-wait"]), Some(fast));
        let accepting = Request { accept_gap: true, ..smart };
        assert_eq!(parse(&["smart", "--accept-gap"]), Some(accepting));
        assert_eq!(parse(&["--accept-gap"]), Some(accepting));
        let both = [OsString::from("fast"), OsString::from("smart")];
        assert_eq!(Request::parse(&both), Err("specify either smart or fast".into()));
        assert_eq!(parse(&["Fast"]), None);
        assert_eq!(parse(&["--nowait"]), None);
    }
}
