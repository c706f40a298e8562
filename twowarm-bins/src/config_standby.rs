//! configStandby: prepares this node's data directory for a base copy, as a standby's.

use std::ffi::OsString;

use twowarm_core::node::{Caller, Install};
use twowarm_core::standby::PrepareStep;

use crate::command::{Command, Failure, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// configStandby as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "configStandby",
        arguments: "[--overwrite]",
        summary: "prepares the data directory of a standby",
        description: "Prepares this node's data directory for copyToStandby or copyToDR. The directory must be empty or hold an \
                earlier standby. Creates the archive directory, empties pg_wal, deletes a trigger and writes the \
                recovery settings. Refuses a directory in which a server is running, or that looks like a \
                primary's.",
        options: &[(
            "--overwrite",
            "Also prepare the data directory of a stopped primary, so that a base copy overwrites it. It cannot be \
            started any more. Its WAL files that were not archived and its pg_control are moved to a directory in \
            PGDATA, whose name is printed.",
        )],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("PGROOT/2warm/global/recovery.conf", "Optional recovery settings of all nodes."),
            ("PGROOT/2warm/local/postgresql.conf", "Optional postgresql.conf of this node."),
        ],
        see_also: &["copyToStandby(1)", "copyToDR(1)", "restoreWALFile(1)", "triggerStandby(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let overwrite = match arguments {
        [] => false,
        [argument] if argument == "--overwrite" => true,
        _ => return Err(Failure::Usage("only --overwrite is accepted as an argument".into())),
    };
    let preparation = install.prepare_standby(overwrite)?;
    preparation.run(&mut |step| {
        if let Some(text) = text_of(step) {
            print(&format!("{text}\n"));
        }
    })?;
    install.remember_data_directory()?;
    print(&format!(
        "The standby is ready for a base copy: run copyToStandby on the primary. WAL files will arrive in \"{}\"\n",
        preparation.archive.display()
    ));
    if let Some(node) = &install.dr_node {
        print(&format!(
            "While local/replication/drnode names {node}, segments that {node} has not received are kept in the archive. HINT: monitor the archive's disk; max_relay_backlog in 2warm.toml limits them\n"
        ));
    }
    Ok(DONE)
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
