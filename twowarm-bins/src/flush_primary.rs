//! flushPrimary: stops this node's primary for a switchover, so that the standby has all of its WAL.

use std::ffi::OsString;
use std::time::Duration;

use twowarm_core::data_directory::running_server;
use twowarm_core::node::{Caller, Install};
use twowarm_core::server::let_sessions_in;
use twowarm_core::switchover::{FlushPrimary, FlushStep, UndoFlush};

use crate::command::{Command, Failure, invalid_argument, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::interruption::before_the_end;
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// flushPrimary as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "flushPrimary",
        arguments: "[--wait SECONDS] [--force] [--without-dr] | --undo [--force]",
        summary: "stops the primary for a switchover",
        description: "The first half of a switchover; the second half is triggerStandby on the standby. Lets no new \
            session in, waits for the sessions to end and terminates the others, waits until all WAL is archived, and \
            stops the server. Until this node is a standby or --undo is run, its pg_hba.conf rejects sessions, so that nothing is written if it is started again. Then it ships the last segment up to the shutdown checkpoint and a receipt, and asks the \
            standby and the DR node whether they hold all of it. It can be run again after any failure.\n\n\
            With --undo the receipt is void on all nodes, and the server can be started again as the primary.",
        options: &[
            ("--wait", "How long sessions may take to end before they are terminated."),
            ("SECONDS", "The time for --wait; 30 by default."),
            (
                "--force",
                "Stop a server that does not stop in time without a checkpoint; with --undo: continue although a node \
                 cannot be asked.",
            ),
            WITHOUT_DR,
            ("--undo", "Continue with this server as the primary."),
        ],
        answers: &[(
            DONE,
            "The server is stopped, and the standby and the DR node hold all of its WAL. With --undo: the receipt is \
             void, and the server may be started.",
        )],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            OTHER_NODE,
            DR_NODE,
            ("PGROOT/2warm/local/replication/receipt", "The receipt of the last flush."),
            (
                "PGROOT/2warm/local/replication/flushing",
                "Exists while pg_hba.conf rejects all sessions: until this node is a standby, or --undo.",
            ),
        ],
        see_also: &["switchover(1)", "triggerStandby(1)", "configStandby(1)", "pg_ctl(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

/// An option of flushPrimary and switchover.
pub(crate) const WITHOUT_DR: (&str, &str) = (
    "--without-dr",
    "Continue if the DR node cannot be reached. It gets the rest of the WAL later, by rsyncDR on both other nodes.",
);

/// The arguments of flushPrimary and switchover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FlushArguments {
    wait: Option<Duration>,
    force: bool,
    without_dr: bool,
    /// Whether the option is given that only one of the two has: `--undo` or `--dry-run`.
    pub(crate) own: bool,
}

impl FlushArguments {
    /// Parses them, with that option.
    pub(crate) fn parse(arguments: &[OsString], own: &str) -> Result<FlushArguments, String> {
        let mut parsed = FlushArguments::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--force") => parsed.force = true,
                Some("--without-dr") => parsed.without_dr = true,
                Some("--wait") => {
                    let seconds = arguments.next().and_then(|text| text.to_str()?.parse().ok());
                    let seconds = seconds.ok_or("--wait requires a number of seconds")?;
                    parsed.wait = Some(Duration::from_secs(seconds));
                }
                Some(option) if option == own => parsed.own = true,
                _ => return Err(invalid_argument(argument)),
            }
        }
        Ok(parsed)
    }

    /// Sets them for a flush.
    pub(crate) fn apply(&self, flush: &mut FlushPrimary) {
        flush.wait = self.wait.unwrap_or(flush.wait);
        flush.force = self.force;
        flush.without_dr = self.without_dr;
    }
}

fn parse(arguments: &[OsString]) -> Result<FlushArguments, String> {
    let parsed = FlushArguments::parse(arguments, "--undo")?;
    if parsed.own && parsed.wait.is_some() {
        return Err("specify either --wait or --undo".into());
    }
    if parsed.own && parsed.without_dr {
        return Err("specify either --without-dr or --undo".into());
    }
    Ok(parsed)
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let arguments = parse(arguments).map_err(Failure::Usage)?;
    if arguments.own {
        return undo(install, arguments.force);
    }
    let mut flush = install.flush_primary()?;
    arguments.apply(&mut flush);
    when_interrupted(install, &flush)?;
    let receipt = flush.run(&mut tell)?;
    let standby = install.require_other_node()?;
    print(&format!(
        "The server is stopped. WAL of timeline {} ends at {}. HINT: run triggerStandby on {standby}. To continue with this server instead, run flushPrimary --undo\n",
        receipt.timeline, receipt.end
    ));
    Ok(DONE)
}

/// Lets sessions in again before a signal ends the process, unless the server is stopped.
pub(crate) fn when_interrupted(install: &Install, flush: &FlushPrimary) -> std::io::Result<()> {
    let (pgdata, local) = (flush.node.data_directory.clone(), install.local_replication());
    before_the_end(move || match running_server(&pgdata) {
        Ok(Some(server)) => match let_sessions_in(&pgdata, &local) {
            Ok(()) if server.is_stopping() => log::warn!(
                "interrupted: the server is shutting down. HINT: when it has stopped, run flushPrimary again, or start it to continue with this server as the primary"
            ),
            Ok(()) => log::warn!(
                "interrupted: sessions are let in again. HINT: if the server is already shutting down, start it when it has stopped, or run flushPrimary again"
            ),
            Err(error) => {
                log::error!("{error}. Sessions are still rejected. HINT: run flushPrimary --undo")
            }
        },
        _ => log::warn!(
            "interrupted: the server is stopped. HINT: run flushPrimary again to continue; if it says that the standby was promoted, run configStandby --rejoin. To continue with this server as the primary, run flushPrimary --undo, which refuses if the standby was promoted"
        ),
    })
}

pub(crate) fn tell(step: FlushStep<'_>) {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let line = match step {
        FlushStep::Connected { node } => format!("{node} can be reached"),
        FlushStep::WithoutDrNode { node, error } => {
            log::warn!(
                "{node}, the DR node, is left out: {error}. HINT: it gets the WAL when it is back, by rsyncDR on both other nodes"
            );
            return;
        }
        FlushStep::SavingLogs => "Copying the server's log files to the standby".to_owned(),
        FlushStep::LogsNotSaved(error) => {
            log::warn!("could not copy the server's log files: {error}");
            return;
        }
        FlushStep::Checkpoint => "Waiting for a checkpoint".to_owned(),
        FlushStep::Archiving { left, first } => {
            format!("Waiting for {left} WAL file{} to be archived, next is {first}", plural(left))
        }
        FlushStep::Closed => "New sessions are rejected".to_owned(),
        FlushStep::Sessions { count } => {
            format!("Waiting for {count} session{} to end", plural(count))
        }
        FlushStep::Terminated { count } => format!("Terminated {count} session{}", plural(count)),
        FlushStep::Archived => "All WAL is archived".to_owned(),
        FlushStep::Stopping => "Waiting for the server to shut down".to_owned(),
        FlushStep::Forced => {
            log::warn!("the server does not stop and is stopped without a checkpoint");
            return;
        }
        FlushStep::Stopped(after) => {
            format!("The server was shut down in {:.2} s", after.as_secs_f64())
        }
        FlushStep::AlreadyStopped => "The server is already stopped".to_owned(),
        FlushStep::End(receipt) => format!(
            "The shutdown checkpoint is at {} in {}, WAL ends at {}",
            receipt.checkpoint, receipt.segment, receipt.end
        ),
        FlushStep::Shipped { node, file } => format!("Shipped {file} to {node}"),
        FlushStep::Proved { node } => {
            format!("{node} holds all WAL up to the end, and the receipt")
        }
        FlushStep::Incomplete { node, missing } => {
            log::warn!(
                "{node} holds the receipt, but not yet {missing}, which the standby has. HINT: rsyncDR on the standby sends it, also after the promotion"
            );
            return;
        }
        _ => return,
    };
    print(&format!("{line}\n"));
}

fn undo(install: &Install, force: bool) -> Result<u8, Failure> {
    let undo = UndoFlush { force, ..install.undo_flush()? };
    let done = undo.run(&mut |error| log::warn!("{error}"))?;
    match (done.had_receipt, done.is_left) {
        (true, false) => print("The receipt is void\n"),
        (true, true) => log::warn!(
            "the receipt is void, but a node that was not asked may still hold it: triggerStandby --require-receipt there would accept it. HINT: do not promote that node; run flushPrimary --undo once more as soon as it can be reached"
        ),
        _ => {}
    }
    // A flush that was killed may have told it to stop.
    if running_server(&undo.node.data_directory)?.is_some_and(|server| server.is_stopping()) {
        print("The server is shutting down. HINT: start it as the primary when it has stopped\n");
        return Ok(DONE);
    }
    if done.is_running {
        print("The server is running as the primary, and sessions are let in\n");
        return Ok(DONE);
    }
    match install.start_server().run()? {
        true => print("The server was started as the primary\n"),
        false => print(&format!(
            "The server in \"{}\" is stopped and may be started as the primary. HINT: start it as usual; start_command under [server] in 2warm.toml lets flushPrimary --undo do so\n",
            undo.node.data_directory.display()
        )),
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::arguments;

    #[test]
    fn arguments_in_any_order() {
        let parse = |words: &[&str]| parse(&arguments(words));
        let (wait, force) = (Some(Duration::from_secs(5)), true);
        assert_eq!(parse(&[]), Ok(FlushArguments::default()));
        let none = FlushArguments::default();
        let forced = FlushArguments { wait, force, ..none };
        assert_eq!(parse(&["--wait", "5", "--force"]), Ok(forced));
        let undo = FlushArguments { force, own: true, ..none };
        assert_eq!(parse(&["--force", "--undo"]), Ok(undo));
        for bad in [
            &["--wait"][..],
            &["--wait", "-1"],
            &["--wait", "1.5"],
            &["--wait", "x"],
            &["now"],
            &["--dry-run"],
            &["--undo", "--wait", "1"],
            &["--undo", "--without-dr"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let switchover =
            FlushArguments::parse(&arguments(&["--dry-run", "--wait", "5"]), "--dry-run");
        assert_eq!(switchover, Ok(FlushArguments { wait, own: true, ..none }));
        assert_eq!(parse(&["--without-dr"]), Ok(FlushArguments { without_dr: true, ..none }));
    }
}
