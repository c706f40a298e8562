//! triggerStandby: promotes this node's standby and waits until it is a primary.

use std::ffi::OsString;
use std::process::ExitCode;

use twowarm_core::data_directory::{RecoveryMode, recovery_settings};
use twowarm_core::node::{Caller, Install};
use twowarm_core::standby::{
    Promoted, Promotion, PromotionError, PromotionMode, PromotionStep, WaitingFor,
};

use crate::command::{Command, Failure, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::interruption::before_the_end;
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// triggerStandby as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "triggerStandby",
        arguments: "[smart|fast] [--accept-gap] [--no-wait]",
        summary: "promotes this node's standby",
        description: "Promotes this node's standby. smart (the default) first replays all WAL that has arrived, fast does \
                not. smart refuses if a segment is missing or damaged in the archive and a later one is there; with \
                --accept-gap it replays the WAL before that segment. Waits until the server is open and \
                has committed a write, then removes the trigger. With --no-wait, and if no server is running, it \
                returns at once, and you must remove the trigger yourself.",
        options: &[
            ("smart", "Replay all WAL that has arrived first (the default)."),
            ("fast", "Promote without replaying what has arrived."),
            ("--accept-gap", "Replay what comes before a missing or damaged segment."),
            ("--no-wait", "Return at once; you must remove the trigger file."),
        ],
        answers: &[(
            DONE,
            "A write was committed. With --no-wait, or if no server is running: the trigger file was written.",
        )],
        files: &[ENVIRONMENT, SETTINGS, ("PGDATA/trigger", "The trigger file.")],
        see_also: &["restoreWALFile(1)", "configStandby(1)", "pg_ctl(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

/// triggerStandby's main.
pub fn main() -> ExitCode {
    if let Some(code) = Promotion::answer_if_asked() {
        return code;
    }
    COMMAND.main()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    mode: PromotionMode,
    accept_gap: bool,
    wait: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let (mut mode, mut accept_gap, mut wait) = (None, false, true);
        for argument in arguments {
            let wanted = match argument.to_str() {
                Some("smart") => PromotionMode::Smart,
                Some("fast") => PromotionMode::Fast,
                Some("--no-wait") => {
                    wait = false;
                    continue;
                }
                Some("--accept-gap") => {
                    accept_gap = true;
                    continue;
                }
                _ => return Err(format!("invalid argument: {}", argument.to_string_lossy())),
            };
            if mode.replace(wanted).is_some() {
                return Err("specify either smart or fast".into());
            }
        }
        Ok(Request { mode: mode.unwrap_or(PromotionMode::Smart), accept_gap, wait })
    }
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    let promotion = Promotion {
        accept_gap: request.accept_gap,
        wait: request.wait,
        ..install.promotion(request.mode)?
    };
    let note = note(&promotion)?;
    let (trigger, last_words) = (promotion.trigger.clone(), note.clone());
    before_the_end(move || {
        if trigger.exists() {
            log::warn!("interrupted: {last_words}");
        }
    })?;
    match promotion.run(&mut |step| tell(&promotion, step)) {
        Ok(Promoted::Open(after)) => print(&format!(
            "The server is open: {:.2} s from trigger to a committed write\n",
            after.as_secs_f64()
        )),
        Ok(Promoted::Triggered) => print(&format!("Note: {note}\n")),
        Err(error @ PromotionError::NotQueried(_)) => {
            return Err(Failure::Failed(format!("{error}. Note: {note}").into()));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(DONE)
}

/// What the user must know about a trigger that is not removed, and how to cancel the failover.
fn note(promotion: &Promotion) -> Result<String, Failure> {
    let pgdata = &promotion.data_directory;
    let trigger = promotion.trigger.display();
    let request = match recovery_settings(pgdata)?.mode {
        RecoveryMode::Standby => format!(" and \"{}\"", pgdata.join("promote").display()),
        RecoveryMode::Warm => String::new(),
    };
    Ok(format!(
        "the trigger file \"{trigger}\" remains in force. HINT: delete it when the server is open, or it will trigger the next standby in this directory. To cancel the failover, delete \"{trigger}\"{request} before recovery ends; after that it cannot be canceled"
    ))
}

fn tell(promotion: &Promotion, step: PromotionStep<'_>) {
    let archive = promotion.archive.display();
    let pgdata = promotion.data_directory.display();
    match step {
        PromotionStep::ArchiveTimedOut => log::warn!(
            "the archive \"{archive}\" did not answer within {} s, so it could not be checked for a newer timeline and missing segments",
            promotion.archive_limit.as_secs()
        ),
        PromotionStep::Gap(gap) => log::warn!(
            "{gap}, in \"{archive}\": recovery ends before {}, and the WAL in {} and later segments is lost",
            gap.missing,
            gap.found
        ),
        PromotionStep::Damage(damage) => log::warn!(
            "{damage}, in \"{archive}\": recovery ends in or before {}, and the WAL in {} and later segments is lost",
            damage.segment,
            damage.found
        ),
        PromotionStep::NotChecked(segment) => log::warn!(
            "{segment} and later segments were not checked for damage, to save time: recovery ends at the first damaged record"
        ),
        PromotionStep::NotRequested(error) => {
            log::warn!("could not ask the server to promote: {error}");
        }
        PromotionStep::Triggered { is_running } => {
            let when = match promotion.mode {
                PromotionMode::Smart => "it opens after it has replayed all WAL that has arrived",
                PromotionMode::Fast => "it opens without replaying more WAL",
            };
            match is_running {
                true => print(&format!("The server in \"{pgdata}\" was triggered: {when}\n")),
                false => print(&format!(
                    "The trigger file was written, but no server is running in \"{pgdata}\". HINT: start it; {when}\n"
                )),
            }
        }
        PromotionStep::Waiting(WaitingFor::Archive) => {
            log::info!("waiting for the archive to answer")
        }
        PromotionStep::Waiting(WaitingFor::Server) => {
            log::info!("waiting for the server to answer")
        }
        PromotionStep::Waiting(WaitingFor::Connection(error)) => {
            log::info!("waiting for a connection ({error})");
        }
        PromotionStep::Waiting(WaitingFor::Recovery) => log::info!("waiting for recovery to end"),
        PromotionStep::SetAside(name) => log::warn!(
            "{name} is now in the archive: recovery ended at a damaged segment, and the WAL after the damage was not replayed. HINT: see the server's log"
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Request::parse(&words)
    }

    #[test]
    fn arguments_in_any_order() {
        let smart = Request { mode: PromotionMode::Smart, accept_gap: false, wait: true };
        let fast = Request { mode: PromotionMode::Fast, accept_gap: false, wait: false };
        assert_eq!(parse(&[]), Ok(smart));
        assert_eq!(parse(&["smart"]), Ok(smart));
        assert_eq!(parse(&["--no-wait", "fast"]), Ok(fast));
        assert_eq!(parse(&["fast", "--no-wait"]), Ok(fast));
        let accepting = Request { accept_gap: true, ..smart };
        assert_eq!(parse(&["smart", "--accept-gap"]), Ok(accepting));
        assert_eq!(parse(&["--accept-gap"]), Ok(accepting));
        assert_eq!(parse(&["fast", "smart"]), Err("specify either smart or fast".into()));
        for invalid in ["Fast", "--nowait", "--ask-archive"] {
            assert_eq!(parse(&[invalid]), Err(format!("invalid argument: {invalid}")));
        }
    }
}
