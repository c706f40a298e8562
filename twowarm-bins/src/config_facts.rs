//! configFacts: says what the other commands take for this node's facts. The text file configSetup asks it,
//! and is what scripts source and people call; so messages carry configSetup's name.
//!
//! Its own name sorts before configSetup's: rsync renames files into place in that order, and a configSetup
//! without it would end every script that sources it.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use twowarm_core::data_directory::{Role, role_of};
use twowarm_core::node::{Caller, Install};
use twowarm_core::server::running_role;

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;

/// configFacts' main.
pub fn main() -> ExitCode {
    Command {
        name: "configSetup",
        arguments: "[debug]",
        about: "Prints PGROOT, PGDATA, GLOBAL, LOCAL, ARCHIVE, OTHERNODE and DRNODE as every command here sees them. \
                A script that sources configSetup gets them as variables.",
        caller: Caller::Person,
        misconfigured: fails,
        run,
    }
    .main()
}

/// The options are between configSetup and this program.
fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    match arguments.first().map(|argument| argument.to_string_lossy()).as_deref() {
        None => print(&install.describe()),
        Some("--shell") => {
            // A script must not take half of it for all.
            let mut out = std::io::stdout();
            out.write_all(&install.shell_assignments())?;
            out.write_all(b"twowarm_facts=complete\n")?;
            out.flush()?;
        }
        Some("--role") => print(&format!("{}\n", word(role_of(install.require_pgdata()?)?))),
        Some("--running") => {
            let running = running_role(install.pgdata.as_deref(), &install.login())?;
            print(&format!("{}\n", running.map_or("none", word)));
        }
        Some(other) => return Err(Failure::Usage(format!("invalid argument: {other}"))),
    }
    Ok(DONE)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Standby => "standby",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_in_place_before_the_file_that_asks_it() {
        let names = twowarm_core::testbed::COMMANDS;
        let place = |name| names.iter().position(|n| *n == name).unwrap();
        assert!(names.is_sorted() && place("configFacts") < place("configSetup"));
    }
}
