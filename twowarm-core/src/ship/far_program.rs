//! What a node says of itself, asked with the ssh program.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::limits::output_within;
use crate::reach::{LocalUser, Reach, SshOptions, last_line};
use crate::ship::ssh::shell_safe;

/// Why a program of twowarm does not run on another node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FarProgramError {
    /// Its machine has another architecture.
    #[error(
        "{node} is {far}, but the commands of this node are built for {here}. HINT: install twowarm on {node} with \"make install\" there"
    )]
    AnotherMachine {
        /// The node.
        node: String,
        /// Its system and machine, as `uname -sm` prints them.
        far: String,
        /// Those of this node.
        here: String,
    },
    /// A command does not run there.
    #[error(
        "{program} does not run on {node}: {why}. HINT: its libraries are probably older than those of this node: build twowarm on the older system, or install it on {node} with \"make install\" there"
    )]
    DoesNotRun {
        /// The program.
        program: String,
        /// The node.
        node: String,
        /// Its last message, or how it ended.
        why: String,
    },
}

/// Compares the machine of a node with this one, as the commands that are copied there must run. False if the node does
/// not answer such a question, because its key is restricted to other commands.
///
/// # Errors
/// If it differs.
pub fn check_machine(reach: &Reach) -> Result<bool, FarProgramError> {
    let here = Command::new("uname").arg("-sm").output().map(|output| output.stdout);
    let here = here.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    let (Ok(here), Ok(far)) = (here, ask(reach, "uname -sm")) else { return Ok(false) };
    // Another command's output, by a forced command.
    if far.split(' ').count() != 2 || far.lines().count() != 1 {
        return Ok(false);
    }
    let node = reach.node.to_string();
    if here == far { Ok(true) } else { Err(FarProgramError::AnotherMachine { node, far, here }) }
}

/// Checks that a program runs on a node and is of the same version as this one.
///
/// # Errors
/// If not.
pub fn check_program(reach: &Reach, program: &Path, version: &str) -> Result<(), FarProgramError> {
    let failed = |why: String| FarProgramError::DoesNotRun {
        program: program.display().to_string(),
        node: reach.node.to_string(),
        why,
    };
    // rsync copies to such a path too, but no command is started there.
    let Ok(path) = shell_safe(program) else { return Ok(()) };
    let said = ask(reach, &format!("{path} --version")).map_err(failed)?;
    match said == version {
        true => Ok(()),
        false => Err(failed(format!(
            "it says \"{}\" instead of \"{version}\"",
            last_line(&said).unwrap_or_default()
        ))),
    }
}

/// The output of a command on a node, without the line end.
fn ask(reach: &Reach, command: &str) -> Result<String, String> {
    let local = LocalUser::current();
    let options = SshOptions::of(reach, reach.key_for_copies(), local.as_ref());
    let mut ssh = Command::new("ssh");
    ssh.args(options.unattended(reach.time_limit));
    ssh.args(["-T", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]);
    ssh.args(["--", reach.node.host(), command]).env("LC_ALL", "C").stdin(Stdio::null());
    let output = output_within(&mut ssh, reach.time_limit).map_err(|e| e.to_string())?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = last_line(&messages);
        return Err(why.unwrap_or_else(|| output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
