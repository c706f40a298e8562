//! receiveWALFile: the far end of shipping, started by sshd.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsFd;
use std::process::ExitCode;

use twowarm_core::archive::Machines;
use twowarm_core::data_directory::identity;
use twowarm_core::node::{Caller, Install, PgdataSource};
use twowarm_core::ship::TimedInput;
use twowarm_core::ship::receiver::{Cluster, Receiver, serve};
use twowarm_core::ship::wire::{Refusal, RefusalCode, SESSION};

use crate::command::{Command, Failure, fails};
use crate::exit_codes::DONE;

/// receiveWALFile's main.
pub fn main() -> ExitCode {
    Command {
        name: "receiveWALFile",
        arguments: "",
        about: "The far end of archiveWALFile: adds the WAL files that come in on its standard input to this \
                node's archive. Started by sshd; it can stand as a forced command in authorized_keys.",
        caller: Caller::FarNode,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if !arguments.is_empty() {
        return Err(Failure::Usage("it takes no arguments".into()));
    }
    if let Some(Ok(command)) = std::env::var_os("SSH_ORIGINAL_COMMAND").map(OsString::into_string)
        && is_rsync(&command)
    {
        // rsync would wait for an answer, and we for a greeting.
        let why = "this key receives WAL files and nothing else; it can't run rsync";
        return Err(Failure::Failed(why.into()));
    }
    // Not std's own handles, which buffer: what they hold poll does not see.
    let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let input = BufReader::new(TimedInput::new(input, install.settings.time_limit));
    serve(input, output, receiver(install))?;
    Ok(DONE)
}

/// Whether a client whose key is pinned to us by a forced command wanted to run rsync.
fn is_rsync(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next() == Some("rsync")
}

/// What can't work here becomes a refusal, so that it is told where somebody waits.
fn receiver(install: &Install) -> Result<Receiver, Refusal> {
    let archive = install.require_archive().map_err(|e| misconfigured(&e))?;
    if install.pgdata_named_by.as_ref().is_some_and(PgdataSource::is_assumed) {
        // Says by what, where it is gone.
        install.require_pgdata().map_err(|e| misconfigured(&e))?;
    }
    let cluster = match &install.pgdata {
        Some(pgdata) => identity(pgdata).map_err(|e| misconfigured(&e))?,
        None => None,
    };
    Ok(Receiver {
        archive: archive.to_owned(),
        local_replication: install.local_replication(),
        data_directory: install.pgdata.clone(),
        label: install.label(),
        node_id: install.node_id().map_err(|e| misconfigured(&e))?,
        machines: if install.settings.archive.any_machine { Machines::Any } else { Machines::One },
        cluster: cluster.map(|cluster| Cluster {
            system_identifier: cluster.system_identifier,
            segment_size: cluster.segment_size,
        }),
    })
}

fn misconfigured(error: &dyn Error) -> Refusal {
    Refusal {
        id: SESSION,
        code: RefusalCode::CONFIGURATION,
        retryable: true,
        message: error.to_string(),
    }
}
