//! triggerStandby: promotes this node's standby and waits until it is a primary.

use std::ffi::OsString;
use std::process::ExitCode;

use std::sync::Arc;

use twowarm_core::archive::OtherArchive;
use twowarm_core::data_directory::{
    RecoveryMode, Role, lock_directory, recovery_settings, role_of, running_server,
};
use twowarm_core::node::{Caller, Install, Invocation};
use twowarm_core::standby::{Promoted, Promotion, PromotionError, PromotionMode, ReceiptState};

use crate::command::{Command, Failure, invalid_argument, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::interruption::before_the_end;
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, SETTINGS};

mod report;

use report::Report;

/// triggerStandby as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "triggerStandby",
        arguments: "[smart|fast] [--require-receipt] [--accept-gap] [--no-wait] | --check [--require-receipt]",
        summary: "promotes this node's standby",
        description: "Promotes this node's standby. smart (the default) first replays all WAL that has arrived, fast does \
                not. First, complete segments that only this node's pg_wal has are put into the archive, so that it has no gap \
                at the failover, and smart fetches what the DR node has and this archive lacks. smart refuses if a segment is missing or damaged in the archive and a later one is there; with \
                --accept-gap it replays the WAL before that segment. Waits until the server is open and \
                has committed a write, then removes the trigger. With --no-wait, and if no server is running, it \
                returns at once, and you must remove the trigger yourself. The new primary ships its WAL if there is a DR \
                node, or if flushPrimary has shut down the primary and all its WAL is here; else archiving_active is removed, \
                until another node gets a base copy.",
        options: &[
            ("smart", "Replay all WAL that has arrived first (the default)."),
            ("fast", "Promote without replaying what has arrived."),
            (
                "--require-receipt",
                "Refuse unless all WAL of a primary that flushPrimary has shut down is here.",
            ),
            ("--accept-gap", "Replay what comes before a missing or damaged segment."),
            ("--no-wait", "Return at once; you must remove the trigger file."),
            (
                "--check",
                "Change nothing; only check that this node's standby is running. With --require-receipt also that all WAL of a \
                 primary that flushPrimary has shut down is here.",
            ),
        ],
        answers: &[(
            DONE,
            "A write was committed. With --no-wait, or if no server is running: the trigger file was written.",
        )],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            DR_NODE,
            ("PGDATA/trigger", "The trigger file."),
            (
                "PGROOT/2warm/local/replication/archiving_active",
                "Created or removed; WAL is shipped while this file exists.",
            ),
        ],
        see_also: &["flushPrimary(1)", "restoreWALFile(1)", "configStandby(1)", "pg_ctl(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

/// triggerStandby's main.
pub fn main() -> ExitCode {
    if let Some(code) = Promotion::answer_if_asked(other_archives) {
        return code;
    }
    COMMAND.main()
}

/// Those from which this node's standby fetches. None if the 2warm tree can't be read, of which the parent process
/// tells.
fn other_archives() -> Vec<Arc<dyn OtherArchive>> {
    let install =
        Invocation::current().ok().and_then(|call| Install::find(&call, Caller::Person).ok());
    install.map(|install| install.other_archives()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    mode: PromotionMode,
    accept_gap: bool,
    require_receipt: bool,
    wait: bool,
    check: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let (mut mode, mut accept_gap, mut require_receipt, mut wait) = (None, false, false, true);
        let mut check = false;
        for argument in arguments {
            let wanted = match argument.to_str() {
                Some("smart") => PromotionMode::Smart,
                Some("fast") => PromotionMode::Fast,
                Some("--no-wait") => {
                    wait = false;
                    continue;
                }
                Some("--require-receipt") => {
                    require_receipt = true;
                    continue;
                }
                Some("--accept-gap") => {
                    accept_gap = true;
                    continue;
                }
                Some("--check") => {
                    check = true;
                    continue;
                }
                _ => return Err(invalid_argument(argument)),
            };
            if mode.replace(wanted).is_some() {
                return Err("specify either smart or fast".into());
            }
        }
        if check && (mode.is_some() || accept_gap || !wait) {
            return Err("--check can be combined only with --require-receipt".into());
        }
        let mode = mode.unwrap_or(PromotionMode::Smart);
        if mode == PromotionMode::Fast && require_receipt {
            return Err(
                "fast does not replay all WAL: specify either fast or --require-receipt".into()
            );
        }
        Ok(Request { mode, accept_gap, require_receipt, wait, check })
    }
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    if request.check {
        return check(install, request.require_receipt);
    }
    let promotion = Promotion {
        accept_gap: request.accept_gap,
        require_receipt: request.require_receipt,
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
    let mut report = Report::new(&promotion);
    let promoted = promotion.run(&mut |step| report.step(step));
    report.end();
    match promoted {
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

/// Whether the standby can be promoted, for switchover on the primary, which recognizes this line.
fn check(install: &Install, require_receipt: bool) -> Result<u8, Failure> {
    let pgdata = install.require_pgdata()?;
    let shown = pgdata.display();
    if role_of(pgdata)? == Role::Primary {
        let why = format!("\"{shown}\" does not contain a standby");
        return Err(Failure::Failed(why.into()));
    }
    if running_server(pgdata)?.is_none() {
        let why = format!("the standby in \"{shown}\" is not running. HINT: start its server");
        return Err(Failure::Failed(why.into()));
    }
    // A base copy from here would keep triggerStandby --require-receipt from promoting it.
    drop(lock_directory(pgdata)?);
    print(&format!("The standby in \"{shown}\" is running\n"));
    if require_receipt {
        let promotion = install.promotion(PromotionMode::Smart)?;
        match promotion.receipt()? {
            Some(state @ ReceiptState::Complete(_)) => report::receipt(&state),
            found => {
                let archive = promotion.archive;
                return Err(PromotionError::Receipt { archive, found }.into());
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::arguments;

    #[test]
    fn arguments_in_any_order() {
        let parse = |words: &[&str]| Request::parse(&arguments(words));
        let mode = PromotionMode::Smart;
        let smart =
            Request { mode, accept_gap: false, require_receipt: false, wait: true, check: false };
        let fast = Request { mode: PromotionMode::Fast, wait: false, ..smart };
        assert_eq!(parse(&[]), Ok(smart));
        assert_eq!(parse(&["smart"]), Ok(smart));
        assert_eq!(parse(&["--no-wait", "fast"]), Ok(fast));
        assert_eq!(parse(&["fast", "--no-wait"]), Ok(fast));
        let accepting = Request { accept_gap: true, ..smart };
        assert_eq!(parse(&["smart", "--accept-gap"]), Ok(accepting));
        assert_eq!(parse(&["--accept-gap"]), Ok(accepting));
        let requiring = Request { require_receipt: true, ..smart };
        assert_eq!(parse(&["--require-receipt"]), Ok(requiring));
        assert!(parse(&["fast", "--require-receipt"]).unwrap_err().contains("either"));
        assert_eq!(parse(&["--check"]), Ok(Request { check: true, ..smart }));
        let checking = Request { check: true, ..requiring };
        assert_eq!(parse(&["--check", "--require-receipt"]), Ok(checking));
        assert_eq!(parse(&["--require-receipt", "--check"]), Ok(checking));
        for other in ["smart", "fast", "--no-wait", "--accept-gap"] {
            assert!(parse(&["--check", other]).is_err(), "{other}");
        }
        assert_eq!(parse(&["fast", "smart"]), Err("specify either smart or fast".into()));
        for invalid in ["Fast", "--nowait", "--ask-archive"] {
            assert_eq!(parse(&[invalid]), Err(format!("invalid argument: {invalid}")));
        }
    }
}
