//! receiveWALFile: the far end of shipping, started by sshd.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsFd;

use twowarm_core::archive::Machines;
use twowarm_core::node::{Caller, Install, InstallError, PgdataSource};
use twowarm_core::ship::{Receiver, TimedInput};

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// receiveWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "receiveWALFile",
        arguments: "",
        summary: "receives the WAL files that archiveWALFile sends",
        description: "The far end of archiveWALFile: adds the WAL files that it receives on standard input to this \
            node's archive. Started by sshd; it can be the forced command of a key in authorized_keys.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("ARCHIVE/.owner", "The cluster and the sender that the archive belongs to."),
        ],
        see_also: &["archiveWALFile(1)", "sshd(8)"],
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
        // rsync waits for an answer, and the receiver for a greeting.
        let why = "this key is accepted only for receiveWALFile, not for rsync";
        return Err(Failure::Failed(why.into()));
    }
    // Not std's own handles: poll does not see the data in their buffers.
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let input = BufReader::new(TimedInput::new(input, install.settings.time_limit));
    match receiver(install) {
        Ok(receiver) => receiver.serve(input, output)?,
        Err(e) => return Err(Receiver::refuse(&e, input, output).into()),
    };
    Ok(DONE)
}

/// Whether a client whose key is restricted to another command by a forced command wanted to run rsync.
pub(crate) fn is_rsync(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next() == Some("rsync")
}

fn receiver(install: &Install) -> Result<Receiver, InstallError> {
    let archive = install.require_archive()?.to_owned();
    if install.pgdata_named_by.as_ref().is_some_and(PgdataSource::is_assumed) {
        // Its error names the source of a directory that is missing.
        install.require_pgdata()?;
    }
    Ok(Receiver {
        archive,
        local_replication: install.local_replication(),
        data_directory: install.pgdata.clone(),
        label: install.label(),
        node_id: install.node_id()?,
        machines: if install.settings.archive.any_machine { Machines::Any } else { Machines::One },
        retain: install.settings.archive.retain(),
    })
}
