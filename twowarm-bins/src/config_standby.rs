//! configStandby: prepares this node's data directory for a base copy, as a standby's, or makes an old primary a standby
//! without a copy.

use std::ffi::OsString;

use twowarm_core::node::{Caller, Install};
use twowarm_core::standby::{PrepareStep, RejoinStep};

use crate::command::{Command, Failure, invalid_argument, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// configStandby as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "configStandby",
        arguments: "[--overwrite | --rejoin]",
        summary: "prepares the data directory of a standby, or makes an old primary one",
        description: "Prepares this node's data directory for copyToStandby or copyToDR. The directory must be empty or \
                hold an earlier standby. Creates the archive directory, empties pg_wal, deletes a trigger and writes the \
                recovery settings. Refuses a directory in which a server is running, or that looks like a \
                primary's. With --rejoin, on an old primary that flushPrimary has shut down: checks that its WAL \
                ends exactly where the new primary's timeline forked, and makes it a standby without a copy.",
        options: &[
            (
                "--overwrite",
                "Also prepare the data directory of a stopped primary, so that a base copy overwrites it. It cannot be \
                started any more. Its WAL files that were not archived and its pg_control are moved to a directory in \
                PGDATA, whose name is printed.",
            ),
            (
                "--rejoin",
                "Make this old primary a standby of the new primary. No file of the cluster is deleted or copied. \
                Refuses if flushPrimary did not shut it down, if it was started since, or if the new primary lacks \
                some of its WAL; then run configStandby --overwrite here and copyToStandby on the new primary.",
            ),
        ],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("PGROOT/2warm/global/recovery.conf", "Optional recovery settings of all nodes."),
            ("PGROOT/2warm/local/postgresql.conf", "Optional postgresql.conf of this node."),
            (
                "PGROOT/2warm/local/replication/receipt",
                "The receipt of flushPrimary: where the WAL of this node ends.",
            ),
        ],
        see_also: &[
            "flushPrimary(1)",
            "copyToStandby(1)",
            "restoreWALFile(1)",
            "triggerStandby(1)",
        ],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let overwrite = match arguments {
        [] => false,
        [option] if option == "--overwrite" => true,
        [option] if option == "--rejoin" => return rejoin(install),
        [other] => return Err(Failure::Usage(invalid_argument(other))),
        _ => return Err(Failure::Usage("too many arguments".into())),
    };
    let preparation = install.prepare_standby(overwrite)?;
    preparation.run(&mut |step| {
        if let Some(text) = text_of(step) {
            print(&format!("{text}\n"));
        }
    })?;
    install.remember_data_directory()?;
    let copy = match &install.other_node {
        Some(other) => format!(
            "copyToStandby on the primary ({other}), or copyToDR if this node is to be the DR node"
        ),
        // A DR node has none.
        None => "copyToDR on the standby or on the primary".to_owned(),
    };
    print(&format!(
        "The standby is ready for a base copy. WAL files will arrive in \"{}\". HINT: run {copy}\n",
        preparation.archive.display()
    ));
    if let Some(node) = &install.dr_node {
        print(&format!(
            "While local/replication/drnode names {node}, segments that {node} has not received are kept in the archive. HINT: monitor the archive's disk; max_relay_backlog in 2warm.toml limits them\n"
        ));
    }
    Ok(DONE)
}

fn rejoin(install: &Install) -> Result<u8, Failure> {
    let rejoin = install.rejoin()?;
    rejoin.run(&mut |step| {
        if let Some(text) = text_of_rejoin(step) {
            print(&format!("{text}\n"));
        }
    })?;
    install.remember_data_directory()?;
    print(&format!(
        "\"{}\" is a standby now. HINT: start its server, which follows the new primary\n",
        rejoin.data_directory.display()
    ));
    Ok(DONE)
}

pub(crate) fn text_of_rejoin(step: RejoinStep) -> Option<String> {
    Some(match step {
        RejoinStep::AtReceipt(receipt) => {
            format!(
                "The WAL of this node ends with the shutdown checkpoint, at {} on timeline {}, as in the receipt of flushPrimary",
                receipt.end, receipt.timeline
            )
        }
        RejoinStep::Fetched { name, node } => format!("Fetched {name} from {node}"),
        RejoinStep::Follows(timeline) => {
            format!("Timeline {timeline} forked there: this node can follow it without a copy")
        }
        RejoinStep::Completing => "Completing an earlier --rejoin, which was interrupted".into(),
        RejoinStep::Deleting(path) => format!("Deleting \"{}\"", path.display()),
        RejoinStep::LacksForFailover(lack) | RejoinStep::RestoreCommandMissing(lack) => {
            format!("WARNING: {lack}")
        }
        RejoinStep::RestoreCommandWithoutExec(warning) => warning,
        _ => return None,
    })
}

fn text_of(step: PrepareStep) -> Option<String> {
    Some(match step {
        PrepareStep::Deleting(path) => format!("Deleting \"{}\"", path.display()),
        PrepareStep::DeletingContents { directory, files } => {
            format!("Deleting the contents of \"{}\" ({files} files)", directory.display())
        }
        PrepareStep::SetAside { directory, wal_files, control } => format!(
            "Moved to \"{}\": {wal_files} WAL files that were not archived{}. HINT: delete it when you do not need them",
            directory.display(),
            if control {
                ", and pg_control, without which the old primary cannot be started"
            } else {
                ""
            }
        ),
        PrepareStep::ArchiveContent(content) if content.has_other_clusters() => {
            format!("WARNING: {content}")
        }
        PrepareStep::ArchiveContent(content) => content.to_string(),
        PrepareStep::LacksForFailover(lack) | PrepareStep::RestoreCommandMissing(lack) => {
            format!("WARNING: {lack}")
        }
        PrepareStep::RestoreCommandWithoutExec(warning) => warning,
        _ => return None,
    })
}
