//! sendWALFile: the far end of fetching, started by sshd.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsFd;

use twowarm_core::node::{Caller, Install, InstallError, PgdataSource};
use twowarm_core::ship::{Supplier, TimedInput, TimedOutput};

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};
use crate::receive_wal_file::is_rsync;

/// sendWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "sendWALFile",
        arguments: "",
        summary: "sends WAL files from this node's archive to a standby",
        description: "The far end of restoreWALFile: sends the WAL files that a standby asks for on standard input \
            from this node's archive, and changes no WAL file. If they were relayed to this node for that standby, it \
            records what has been fetched, so that the rest is kept. Started by sshd; it can be the forced command of \
            a key in authorized_keys.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("ARCHIVE/.owner", "The cluster that the archive belongs to."),
            ("ARCHIVE/.consumers/NAME", "What a standby has not fetched yet."),
        ],
        see_also: &["restoreWALFile(1)", "receiveWALFile(1)", "sshd(8)"],
    },
    caller: Caller::FarNode,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if !arguments.is_empty() {
        return Err(Failure::Usage("too many arguments".into()));
    }
    if let Some(Ok(command)) = std::env::var_os("SSH_ORIGINAL_COMMAND").map(OsString::into_string)
        && is_rsync(&command)
    {
        // rsync waits for an answer, and this command for a greeting.
        let why = "this key is accepted only for sendWALFile, not for rsync";
        return Err(Failure::Failed(why.into()));
    }
    // Not std's own handles: poll does not see the data in their buffers.
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let limit = install.settings.time_limit;
    let input = BufReader::new(TimedInput::new(input, limit));
    let output = TimedOutput::new(output, limit);
    match supplier(install) {
        Ok(supplier) => supplier.serve(input, output)?,
        Err(e) => return Err(Supplier::refuse(&e, input, output).into()),
    };
    Ok(DONE)
}

fn supplier(install: &Install) -> Result<Supplier, InstallError> {
    let archive = install.require_archive()?.to_owned();
    if install.pgdata_named_by.as_ref().is_some_and(PgdataSource::is_assumed) {
        // Its error names the source of a directory that is missing.
        install.require_pgdata()?;
    }
    Ok(Supplier {
        archive,
        local_replication: install.local_replication(),
        data_directory: install.pgdata.clone(),
        label: install.label(),
        node_id: install.node_id()?,
    })
}
