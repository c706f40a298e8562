//! switchover: makes the standby the primary, and this node, the primary, its standby.

use std::ffi::OsString;
use std::time::Instant;

use twowarm_core::node::{Caller, Install};
use twowarm_core::switchover::SwitchoverStep;

use crate::command::{Command, Failure, print};
use crate::config_standby::text_of_rejoin;
use crate::exit_codes::{DONE, ExitPolicy};
use crate::flush_primary::{self, FlushArguments, WITHOUT_DR};
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// switchover as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "switchover",
        arguments: "[--wait SECONDS] [--force] [--without-dr] [--dry-run]",
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
            WITHOUT_DR,
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

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let arguments = FlushArguments::parse(arguments, "--dry-run").map_err(Failure::Usage)?;
    let mut switchover = install.switchover()?;
    arguments.apply(&mut switchover.flush);
    let standby = install.require_other_node()?;
    if arguments.own {
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
        SwitchoverStep::Undone { is_left } => {
            if is_left {
                log::warn!(
                    "the DR node was not asked and may still hold the receipt: triggerStandby --require-receipt there would accept it. HINT: do not promote that node; run flushPrimary --undo as soon as it can be reached"
                );
            }
            "The receipt is void: this node remains the primary".to_owned()
        }
        SwitchoverStep::Started => "The server of this node was started".to_owned(),
        SwitchoverStep::MustBeStarted => {
            "Start the server of this node as usual. start_command under [server] in 2warm.toml lets switchover do so"
                .to_owned()
        }
        _ => return,
    };
    print(&format!("{line}\n"));
}
