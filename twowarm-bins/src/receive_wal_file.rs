//! receiveWALFile: the far end of shipping, started by sshd.

use std::ffi::OsString;
use std::io::BufReader;

use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::refuse_caller;

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::far_end::{connection, refuse_rsync};
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

fn run(install: &Install, _arguments: &[OsString]) -> Result<u8, Failure> {
    refuse_rsync(COMMAND.manual.name)?;
    let (input, output) = connection(install.settings.time_limit)?;
    let input = BufReader::new(input);
    match install.receiver() {
        Ok(receiver) => receiver.serve(input, output)?,
        Err(e) => return Err(refuse_caller(&e, input, output).into()),
    };
    Ok(DONE)
}
