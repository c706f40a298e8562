//! archiveWALFile: archive_command, which ships a file to the other node's archive, or else to the DR node's.

use std::ffi::OsString;
use std::path::PathBuf;

use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::wire::Stored;
use twowarm_core::ship::{ArchiveProgress, LookAheadProcess, ShipProgress, WalFile};
use twowarm_core::wal::WalFileName;

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// archiveWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "archiveWALFile",
        arguments: "PATH NAME",
        summary: "ships a WAL file from the primary to the standby",
        description: "For archive_command = '../2warm/global/replication/archiveWALFile %p %f': ships the file to \
            the other node and exits 0 once it is on disk there. While that node is down, the file is shipped to the \
            DR node, if there is one. While local/replication/archiving_active is absent, the file is ignored and \
            the exit code is 0.",
        options: &[
            ("PATH", "The file to ship (%p)."),
            ("NAME", "The name of the file in the archive (%f)."),
        ],
        answers: &[(
            DONE,
            "The file is on disk on the other node or the DR node, or archiving is off.",
        )],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            OTHER_NODE,
            DR_NODE,
            (
                "PGROOT/2warm/local/replication/archiving_active",
                "WAL is shipped while this file exists.",
            ),
        ],
        see_also: &["receiveWALFile(1)", "restoreWALFile(1)", "configStandby(1)"],
    },
    caller: Caller::Server,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let process = LookAheadProcess::of_this_process()?;
    let [path, name] = arguments else {
        let problem = format!("2 arguments expected (%p %f), not {}", arguments.len());
        return Err(Failure::Usage(problem));
    };
    let name = name.to_string_lossy();
    let name: WalFileName = name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
    let file = WalFile { name, path: PathBuf::from(path) };
    if !install.archiving_active()? {
        let other = install.other_node.as_ref().map(|node| format!(" for {node}"));
        log::info!(
            "ignoring {name}{}: archiving is not active, because \"{}\" does not exist (copyToStandby creates it)",
            other.unwrap_or_default(),
            install.archiving_active_file().display()
        );
        return Ok(DONE);
    }
    let call = install.archive_call()?;
    if let Some(process) = process {
        call.ship_ahead(process);
        return Ok(DONE);
    }
    let mut archive = String::new();
    call.archive(&file, &mut |progress| report(progress, &mut archive))?;
    Ok(DONE)
}

fn report(progress: ArchiveProgress, archive: &mut String) {
    match progress {
        ArchiveProgress::Ship { step: ShipProgress::Connected(welcome), .. } => {
            *archive = welcome.archive;
        }
        ArchiveProgress::Ship { node, step: ShipProgress::Shipped { file, stored, defect } } => {
            if let Some(defect) = defect {
                log::warn!("\"{}\" was shipped, but {defect}", file.path.display());
            }
            if stored == Stored::AlreadyThere {
                log::info!("{} already exists in {node}:{archive}", file.name);
            }
        }
        ArchiveProgress::Relayed { standby, down_for, reason, relay } => {
            let down = match down_for.as_secs() {
                0..60 => "is down".to_owned(),
                seconds => format!("has been down for {seconds} s"),
            };
            log::warn!(
                "{standby} {down}: {reason}. WAL is shipped to {relay} until {standby} can be reached again"
            );
        }
        ArchiveProgress::Back { node, down_for } => {
            log::info!("{node} can be reached again, after {} s", down_for.as_secs());
        }
        _ => {}
    }
}
