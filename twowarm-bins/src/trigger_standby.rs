//! triggerStandby: promotes this node's standby and waits until it is a primary.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::data_directory::{recovery_settings, request_promotion};
use twowarm_core::durable;
use twowarm_core::install::{Caller, Install};
use twowarm_core::server::{
    DataDirectory, Login, RunningServer, ServerError, Session, write_for_server,
};

use crate::archive_question::{ASK, Answer, Content, answer, ask};
use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;
use crate::patience::{HEARTBEAT, patiently};

const POLL: Duration = Duration::from_millis(100);

/// triggerStandby's main.
pub fn main() -> ExitCode {
    Command {
        name: "triggerStandby",
        arguments: "[smart|fast] [--no-wait]",
        about: "Promotes this node's standby. smart (the default) replays all WAL that has arrived first, fast \
                does not. Waits until the server is open and a write has been committed, then removes the \
                trigger; with --no-wait it returns at once and leaves that to you.",
        caller: Caller::Person,
        misconfigured: fails,
        run,
    }
    .main()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Smart,
    Fast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    mode: Mode,
    wait: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let (mut mode, mut wait) = (None, true);
        for argument in arguments {
            let wanted = match argument.to_str() {
                Some("smart") => Mode::Smart,
                Some("fast") => Mode::Fast,
                Some("--no-wait") => {
                    wait = false;
                    continue;
                }
                _ => return Err(format!("{} is no argument", argument.to_string_lossy())),
            };
            if mode.replace(wanted).is_some() {
                return Err("smart or fast, once".into());
            }
        }
        Ok(Request { mode: mode.unwrap_or(Mode::Smart), wait })
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
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if arguments.first().is_some_and(|argument| argument == ASK) {
        return answer(install);
    }
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    let pgdata = install.require_pgdata().map_err(|e| Failure::Unusable(Box::new(e)))?;
    let found = DataDirectory::look(pgdata)?;
    if found.recovery.is_none() || found.control.is_none() {
        return Err(refused(Refused::NotAStandby(pgdata.display().to_string())));
    }
    let had = check_archive(install, request.mode)?;

    // What it ships once it is a primary would go back to where it came from.
    durable::remove(&install.archiving_active_file())?;
    let trigger = install.trigger_file()?;
    let (content, announced) = match request.mode {
        Mode::Smart => ("smart\n", "it opens when all WAL that has arrived is replayed"),
        Mode::Fast => ("fast\n", "it opens without replaying more WAL"),
    };
    let triggered = Instant::now();
    write_for_server(pgdata, &trigger, content.as_bytes())?;
    let streams = recovery_settings(pgdata)?.streams;
    // Its restore_command, which sees the trigger, is not called while it streams.
    if streams && let Err(e) = request_promotion(pgdata) {
        log::warn!("the server could not be asked to promote: {e}");
    }
    print(&format!("The server in {} is triggered: {announced}\n", pgdata.display()));
    if !request.wait {
        print(&format!(
            "When it is open, delete {}: left there, it would trigger the next standby here\n",
            trigger.display()
        ));
        return Ok(DONE);
    }
    wait_until_open(install, pgdata)?;
    let seconds = triggered.elapsed().as_secs_f64();
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
    print(&format!("The server is open: {seconds:.2} s from trigger to a committed write\n"));
    Ok(DONE)
}

/// The damaged files in an archive that could be read.
fn set_aside(answer: Answer) -> BTreeSet<String> {
    match answer {
        Answer::Read(content) => content.damaged,
        Answer::Failed(_) | Answer::Hung => BTreeSet::new(),
    }
}

/// No timeline may be in the archive that goes on where this one ends. Smart promotes with all that was
/// shipped, so an archive that can't be read is no time for it; but one that hangs must not hold up the
/// failover for ever. Fast goes on without either. Returns the damaged files that are there already.
fn check_archive(install: &Install, mode: Mode) -> Result<BTreeSet<String>, Failure> {
    let archive = install.require_archive()?.display();
    let limit = install.settings.time_limit;
    let answer = match mode {
        Mode::Smart => patiently("the archive to answer", || ask(install, limit)),
        Mode::Fast => ask(install, QUICK_LOOK),
    };
    match (&answer, mode) {
        (Answer::Read(Content { newer: Some((newer, own)), .. }), _) => {
            let (newer, own) = (newer.clone(), own.clone());
            return Err(refused(Refused::NewerTimeline { newer, own }));
        }
        (Answer::Failed(why), Mode::Smart) => {
            return Err(refused(Refused::Archive(why.clone())));
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

fn refused(refused: Refused) -> Failure {
    Failure::Unusable(Box::new(refused))
}

/// Waits for as long as it takes, and says now and then what for.
fn wait_until_open(install: &Install, pgdata: &Path) -> Result<(), Failure> {
    let login = Login::of(install);
    let mut seen = None;
    let mut last_said = Instant::now();
    let mut said_stopped = false;
    loop {
        let running = RunningServer::find(pgdata)?.map(|server| server.pid);
        let waiting_for = match (running, seen) {
            (None, Some(_)) => {
                let text = "the server has stopped before it was open; its log says why. The trigger stays \
                            in force for its next start";
                return Err(Failure::Failed(text.into()));
            }
            (None, None) => {
                if !said_stopped {
                    said_stopped = true;
                    last_said = Instant::now();
                    log::warn!(
                        "no server is running in {}: start it (the trigger stays in force until the server is open, also if you leave now)",
                        pgdata.display()
                    );
                }
                "a server to be started".to_owned()
            }
            (Some(pid), _) => {
                seen = Some(pid);
                match patiently("the server to answer", || try_write(pgdata, &login)) {
                    Ok(true) => return Ok(()),
                    Ok(false) => "recovery to end".to_owned(),
                    Err(error) if error.is_starting() => "recovery to end".to_owned(),
                    Err(error) => format!("a connection ({error})"),
                }
            }
        };
        if last_said.elapsed() >= HEARTBEAT {
            last_said = Instant::now();
            log::info!("waiting for {waiting_for}");
        }
        thread::sleep(POLL);
    }
}

/// Whether the server is a primary that commits.
fn try_write(pgdata: &Path, login: &Login) -> Result<bool, ServerError> {
    let mut session = Session::open(pgdata, login)?;
    if session.in_recovery()? {
        return Ok(false);
    }
    session.commit_a_write()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Request> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Request::parse(&words).ok()
    }

    #[test]
    fn arguments_in_any_order() {
        let smart = Request { mode: Mode::Smart, wait: true };
        let fast = Request { mode: Mode::Fast, wait: false };
        assert_eq!(parse(&[]), Some(smart));
        assert_eq!(parse(&["smart"]), Some(smart));
        assert_eq!(parse(&["--no-wait", "fast"]), Some(fast));
        assert_eq!(parse(&["fast", "--no-wait"]), Some(fast));
        assert_eq!(parse(&["fast", "smart"]), None);
        assert_eq!(parse(&["Fast"]), None);
        assert_eq!(parse(&["--nowait"]), None);
    }
}
