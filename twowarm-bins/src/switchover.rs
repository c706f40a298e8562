//! switchover: makes the standby the primary, and this node, the primary, its standby.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use twowarm_core::node::{Caller, Install};
use twowarm_core::switchover::SwitchoverStep;

use crate::command::{Command, Failure, print};
use crate::config_standby::text_of_rejoin;
use crate::exit_codes::{DONE, ExitPolicy};
use crate::flush_primary;
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// switchover as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "switchover",
        arguments: "[--wait SECONDS] [--force] [--dry-run]",
        summary: "makes the standby the primary and the primary its standby",
        description: "Run on the primary. Flushes it as flushPrimary does, runs \"triggerStandby smart \
            --require-receipt\" on the standby, makes this node a standby as configStandby --rejoin does, and starts \
            its server by start_command in 2warm.toml. No row is lost, and nothing is copied.\n\n\
            If a step fails, the message says which node is the primary and what to run. If the standby was \
            certainly not promoted, this node remains the primary.",
        options: &[
            ("--wait", "How long sessions may take to end before they are terminated."),
            ("SECONDS", "The time for --wait; 30 by default."),
            (
                "--force",
                "Stop a server that does not stop in time without a checkpoint; then it stays the primary.",
            ),
            ("--dry-run", "Check both nodes, print the steps, and change nothing."),
        ],
        answers: &[(
            DONE,
            "The other node is the primary, and this node is its standby. With --dry-run: nothing was found that \
             would prevent it.",
        )],
        files: &[ENVIRONMENT, SETTINGS, OTHER_NODE, DR_NODE],
        see_also: &["flushPrimary(1)", "triggerStandby(1)", "configStandby(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    wait: Option<Duration>,
    force: bool,
    dry_run: bool,
}

impl Request {
    fn parse(arguments: &[OsString]) -> Result<Request, String> {
        let mut request = Request { wait: None, force: false, dry_run: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--force") => request.force = true,
                Some("--dry-run") => request.dry_run = true,
                Some("--wait") => request.wait = Some(flush_primary::seconds(arguments.next())?),
                _ => return Err(format!("invalid argument: {}", argument.to_string_lossy())),
            }
        }
        Ok(request)
    }
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::parse(arguments).map_err(Failure::Usage)?;
    let mut switchover = install.switchover()?;
    switchover.flush.wait = request.wait.unwrap_or(switchover.flush.wait);
    switchover.flush.force = request.force;
    let standby = install.require_other_node()?;
    if request.dry_run {
        switchover.check(&mut tell)?;
        let start = match install.settings.server.start_command.as_slice() {
            [] => "you start its server (start_command is not set)".to_owned(),
            words => format!("\"{}\" starts its server", words.join(" ")),
        };
        print(&format!(
            "Nothing was changed. A switchover would: reject new sessions, wait {} s for sessions to end and terminate the others, wait until all WAL is archived, stop the server, ship the rest of the WAL and a receipt, run \"triggerStandby smart --require-receipt\" on {standby}, and make this node a standby; then {start}\n",
            switchover.flush.wait.as_secs()
        ));
        return Ok(DONE);
    }
    flush_primary::when_interrupted(install, &switchover.flush)?;
    let begun = Instant::now();
    let receipt = switchover.run(&mut tell)?;
    install.remember_data_directory()?;
    print(&format!(
        "{standby} is the primary now, from {} on, and this node is its standby: {:.1} s\n",
        receipt.end,
        begun.elapsed().as_secs_f64()
    ));
    Ok(DONE)
}

fn tell(step: SwitchoverStep<'_>) {
    let line = match step {
        SwitchoverStep::Flush(step) => return flush_primary::tell(step),
        SwitchoverStep::CanPromote { node } => format!("triggerStandby can be run on {node}"),
        SwitchoverStep::Promoting { node } => format!("Running triggerStandby on {node}"),
        SwitchoverStep::Printed { node, line } => format!("{node}: {line}"),
        SwitchoverStep::Promoted { node } => format!("{node} is the primary"),
        SwitchoverStep::Rejoin(step) => match text_of_rejoin(step) {
            Some(text) => text,
            None => return,
        },
        SwitchoverStep::Rejoined => "This node is a standby".to_owned(),
        SwitchoverStep::Undone => "The receipt is void: this node remains the primary".to_owned(),
        SwitchoverStep::Started => "The server of this node was started".to_owned(),
        SwitchoverStep::MustBeStarted => {
            "Start the server of this node as usual. start_command under [server] in 2warm.toml lets switchover do so"
                .to_owned()
        }
        _ => return,
    };
    print(&format!("{line}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_in_any_order() {
        let parse = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            Request::parse(&words)
        };
        let none = Request { wait: None, force: false, dry_run: false };
        assert_eq!(parse(&[]), Ok(none));
        let wait = Some(Duration::from_secs(5));
        assert_eq!(
            parse(&["--dry-run", "--wait", "5"]),
            Ok(Request { wait, dry_run: true, ..none })
        );
        assert_eq!(parse(&["--force"]), Ok(Request { force: true, ..none }));
        for bad in [&["--wait"][..], &["--wait", "x"], &["--undo"], &["now"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
