//! restoreWALFile: the standby's restore_command.
//!
//! A server in warm mode takes every exit code from 1 to 125 for the end of WAL and becomes a primary. So 1
//! is returned only if that is intended, and every unforeseen ending has a code above 125.

use std::env;
use std::ffi::OsString;

use twowarm_core::node::{Caller, Install};
use twowarm_core::restore::{
    GiveUp, MisconfiguredStandby, Outcome, RecoveryMemory, RestoreRequest, StandbyRestore,
};
use twowarm_core::wal::WalFileName;

use crate::command::{Command, Failure, ReadAgain};
use crate::exit_codes::{ABSENT, DONE, ExitPolicy, STOP_SERVER};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// restoreWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "restoreWALFile",
        arguments: "NAME PATH [RESTART]",
        summary: "restores a WAL file from the archive of a standby",
        description: "restore_command of a standby: waits for the WAL file NAME (%f) in the archive, copies it to PATH (%p), \
            and removes segments before the restart point RESTART (%r) from the archive. A file that does not arrive \
            is fetched into the archive from the DR node, or from the nodes in restore_from in 2warm.toml.",
        options: &[
            ("NAME", "The file that the server requests (%f)."),
            ("PATH", "Where the server wants it (%p)."),
            ("RESTART", "The oldest file that must be kept (%r)."),
        ],
        answers: &[
            (DONE, "The file was restored."),
            (
                ABSENT,
                "The file does not exist and recovery may end. In standby mode: it has not arrived yet.",
            ),
        ],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("PGDATA/trigger", "The trigger file: recovery ends while it exists."),
        ],
        see_also: &["triggerStandby(1)", "sendWALFile(1)", "configStandby(1)", "archiveWALFile(1)"],
    },
    caller: Caller::Server,
    failures: ExitPolicy::StopServer,
    misconfigured: Some(misconfigured),
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = read(arguments)?;
    let name = request.name;
    let (pgdata, archive) = (install.require_pgdata()?, install.require_archive()?);
    let mut restore = StandbyRestore::new(request, pgdata, archive);
    restore.local_replication = Some(install.local_replication());
    restore.trigger = install.trigger_file()?;
    restore.other_archives = install.other_archives();
    restore.consumers = Some(install.dr_node.iter().cloned().collect());
    restore.max_backlog = install.settings.archive.max_relay_backlog;
    restore.retain = install.settings.archive.retain();
    restore.keep = install.settings.archive.keep;
    restore.restart_for_timeline = install.settings.restore.restart_for_timeline;
    restore.time_limit = install.settings.time_limit;
    restore.wait_limit = install.settings.restore.wait_limit;
    let is_first = RecoveryMemory::of(pgdata).archive().is_none();
    let outcome = restore.run()?;
    if outcome == Outcome::Restored
        && is_first
        && let Err(e) = install.remember_data_directory()
    {
        log::debug!("{e}");
    }
    Ok(report(name, &outcome))
}

/// A running standby waits for its configuration to be corrected, and still obeys a trigger, with the
/// archive that it was served from before.
fn misconfigured(arguments: &[OsString], why: &str, read_again: ReadAgain<'_>) -> Option<u8> {
    let request = read(arguments).ok()?;
    let name = request.name;
    let standby = MisconfiguredStandby::find(request, &env::current_dir().ok()?)?;
    match standby.run(why, read_again) {
        Ok(outcome) => outcome.map(|outcome| report(name, &outcome)),
        Err(e) => {
            log::error!("{e}");
            Some(STOP_SERVER)
        }
    }
}

fn read(arguments: &[OsString]) -> Result<RestoreRequest, Failure> {
    RestoreRequest::from_arguments(arguments).map_err(|e| Failure::Usage(e.to_string()))
}

/// Logs the outcome, and returns the exit code.
fn report(name: WalFileName, outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Restored => return DONE,
        Outcome::Stopped(why) => log::error!("the server must stop: {why}"),
        Outcome::GaveUp(why @ (GiveUp::NotThere | GiveUp::NotYet)) => log::debug!("{name}: {why}"),
        // At every promotion the server looks for the newest timeline, whose history does not exist.
        Outcome::GaveUp(why @ GiveUp::EndWhenAbsent) => match name {
            WalFileName::Segment(_) => log::info!("{name}: {why}"),
            _ => log::debug!("{name}: {why}"),
        },
        Outcome::GaveUp(GiveUp::EndNow) => {
            log::warn!("recovery ends before {name} because of the fast trigger");
        }
        Outcome::GaveUp(why) => log::warn!("{name}: {why}"),
        Outcome::Exit(_) => {}
    }
    outcome.exit_code()
}
