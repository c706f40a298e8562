//! rsyncDR: passes on what the standby has received to the DR node.

use std::ffi::OsString;
use std::fs;

use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::RelayProgress;
use twowarm_core::ship::wire::Stored;

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, SETTINGS};

/// rsyncDR as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "rsyncDR",
        arguments: "[--follow]",
        summary: "passes on WAL from the standby to the DR node",
        description: "Sends the files of this node's archive that the DR node lacks, in order, and exits 0 once they \
            are on disk there. For cron or a systemd timer on the standby: it prints nothing if there is nothing to \
            do, if another rsyncDR is running, if there is no DR node, and on a primary.\n\n\
            A node that was promoted still sends what it had received before. Segments that the DR node has not \
            acknowledged are kept in the archive, see max_relay_backlog in the manual.",
        options: &[(
            "--follow",
            "Do not exit, and send each file when it arrives. After a failure it is tried again, at most a minute \
             later. It exits 0 when drnode is changed, so that a systemd service starts it again for the new node.",
        )],
        answers: &[(DONE, "The DR node has everything, or this node has nothing to send.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            DR_NODE,
            ("ARCHIVE/.consumers/DRNODE", "The first segment that the DR node needs."),
            (
                "PGROOT/2warm/local/replication/relay/DRNODE",
                "What was sent besides segments. If it is deleted, that is sent again.",
            ),
        ],
        see_also: &["archiveWALFile(1)", "receiveWALFile(1)", "restoreWALFile(1)", "crontab(5)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let follows = match arguments {
        [] => false,
        [option] if option == "--follow" => true,
        _ => return Err(Failure::Usage("invalid arguments".into())),
    };
    let Some(relay) = install.relay_to_dr()? else { return Ok(DONE) };
    let node = relay.to.to_string();
    let report = &mut |progress| report(progress, &node);
    if !follows {
        relay.run(report)?;
        return Ok(DONE);
    }
    let file = install.local_replication().join("drnode");
    let text = fs::read(&file).ok();
    relay.follow(&|| fs::read(&file).ok() == text, report)?;
    Ok(DONE)
}

fn report(progress: RelayProgress, node: &str) {
    match progress {
        RelayProgress::Relayed { file, stored: Stored::New } => {
            log::debug!("{} is on {node}", file.name);
        }
        RelayProgress::Relayed { file, stored: Stored::AlreadyThere } => {
            log::debug!("{} already exists on {node}", file.name);
        }
        RelayProgress::Failed { error, next } => {
            log::error!("{error}. The next attempt is in {} s", next.as_secs());
        }
        RelayProgress::Recovered => log::info!("WAL is sent to {node} again"),
        _ => {}
    }
}
