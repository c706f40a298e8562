//! archiveWALFile: archive_command, which ships a file to the other node's archive.

use std::ffi::OsString;
use std::path::PathBuf;

use twowarm_core::data_directory::Postmaster;
use twowarm_core::node::{Caller, Install, Verify};
use twowarm_core::ship::ssh::SshTransport;
use twowarm_core::ship::wire::Stored;
use twowarm_core::ship::{FarCommand, ShipProgress, Shipper, ShutdownBudget, WalFile};
use twowarm_core::wal::WalFileName;

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// archiveWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "archiveWALFile",
        arguments: "PATH NAME",
        summary: "ships a WAL file from the primary to the standby",
        description: "For archive_command = '../2warm/global/replication/archiveWALFile %p %f': ships the file to \
            the other node and exits 0 once it is on disk there. While local/replication/archiving_active \
            is absent it ignores the file and exits 0.",
        options: &[
            ("PATH", "The file to ship (%p)."),
            ("NAME", "The name of the file in the archive (%f)."),
        ],
        answers: &[(DONE, "The file is on disk on the other node, or archiving is off.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            OTHER_NODE,
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
    let other = install.require_other_node()?;
    let node = install.local_node()?;
    let postmaster = Postmaster::of(&node.data_directory);
    let unanswered = install.local_replication().join("unanswered_shutdown");
    let transport = SshTransport::new(&install.reach(other), FarCommand::ReceiveWalFile)?;
    let shipper = Shipper {
        ship_damaged: install.settings.archive.ship_damaged,
        verify_records: install.settings.archive.verify == Verify::Records,
        send: install.send_options(other),
        shutdown: Some(ShutdownBudget::new(postmaster, unanswered)),
        ..Shipper::new(node, transport)
    };
    let mut archive = String::new();
    shipper.ship(&[file], &mut |progress| match progress {
        ShipProgress::Connected(welcome) => archive = welcome.archive,
        ShipProgress::Shipped { file, stored, defect } => {
            if let Some(defect) = defect {
                log::warn!("\"{}\" was shipped, but {defect}", file.path.display());
            }
            if stored == Stored::AlreadyThere {
                log::info!("{name} already exists in {other}:{archive}");
            }
        }
        _ => {}
    })?;
    Ok(DONE)
}
