//! distrib2warm: brings the 2warm installation to the other nodes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use twowarm_core::identifiers::NodeName;
use twowarm_core::node::{Caller, Install};
use twowarm_core::rsync::{Event, Outcome, Remote, Transfer, fetch_small};

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;

/// The files in `local` are the node's own (and may be a key); the directories must be there. What the node
/// has more than we is left there.
const RULES: &str = "+ /local/\n+ /local/replication/\n- /local/**\nP *\n";

/// Links are followed, since they lead elsewhere on another node; checksums tell what has changed; the
/// other node's own files are left alone. A server there may call a command at any moment: files are
/// renamed into place, one straight after the other, and only when all have arrived. Where rsync is killed
/// before that, all is as it was, and the next run goes on with what has arrived.
const OPTIONS: [&str; 5] =
    ["-rptL", "--checksum", "--delay-updates", "--delete", "--info=name1,stats1"];

/// distrib2warm's main.
pub fn main() -> ExitCode {
    Command {
        name: "distrib2warm",
        arguments: "",
        about: "Copies PGROOT/2warm to the other node, and to the disaster-recovery node if there is one. Of \
                2warm/local, which is each node's own, nothing is copied but the directories.",
        caller: Caller::Person,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if !arguments.is_empty() {
        return Err(Failure::Usage("it takes no arguments".into()));
    }
    let other = install.require_other_node()?;
    distribute(install, other)?;
    if let Some(node) = &install.dr_node {
        distribute(install, node)?;
    }
    Ok(DONE)
}

fn distribute(install: &Install, node: &NodeName) -> Result<(), Failure> {
    let remote = Remote::new(install.reach(node));
    let from = install.pgroot.join("2warm");
    let to = remote.pgroot().join("2warm");
    print(&format!("Copying {} to {node}:{}\n", from.display(), to.display()));
    let names = our_commands(&from.join(COMMANDS))?;
    let replaced = replaced_scripts(&remote, &to, &names)?;
    if !replaced.is_empty() {
        print(&format!("Replacing scripts of 2warm on {node}: {}\n", replaced.join(", ")));
    }
    // The names under which rsync writes files, which are left where it was killed: six random letters
    // and digits. A person's .NAME.backup has lower-case letters only.
    let word = "[a-z]".repeat(6);
    let unfinished = names.iter().map(|name| {
        let place = format!("/{COMMANDS}/.{name}.");
        format!("P {place}{word}\nR {place}??????\n")
    });
    let rules = unfinished.collect::<String>() + RULES;
    let transfer =
        Transfer { remote: &remote, from: &from, to: &to, options: &OPTIONS, rules: &rules };
    let outcome = transfer.run(&mut |event| -> Result<(), Infallible> {
        if let Event::Line(line) = event {
            print(&format!("{line}\n"));
        }
        Ok(())
    })?;
    match outcome {
        Outcome::Complete => Ok(()),
        Outcome::Partial(said) => {
            let text = format!("not all could be copied to {node}: {}", said.join("; "));
            Err(Failure::Failed(text.into()))
        }
    }
}

/// Where the commands are, in the tree.
const COMMANDS: &str = "global/replication";

/// The size that no script of 2warm has, and each of our programs has, in bytes.
const LARGEST_SCRIPT: u64 = 100_000;

/// The names of the files in our directory of commands, but for scripts that are not ours.
fn our_commands(directory: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| unreadable(directory, &e))? {
        let name = entry.map_err(|e| unreadable(directory, &e))?.file_name().into_string();
        let plain = name.ok().filter(|name| !name.contains(['*', '?', '[', '\\', '\n']));
        names.extend(plain.filter(|name| is_ours(&directory.join(name))));
    }
    names.sort_unstable();
    Ok(names)
}

/// Which of our commands are scripts of 2warm there.
fn replaced_scripts(remote: &Remote, to: &Path, names: &[String]) -> Result<Vec<String>, Failure> {
    let theirs = Scratch::new()?;
    fetch_small(remote, &to.join(COMMANDS), names, LARGEST_SCRIPT, &theirs.0)?;
    let is_replaced = |name: &&String| {
        let there = theirs.0.join(name);
        fs::read(&there).is_ok_and(|text| text.starts_with(b"#!")) && !is_ours(&there)
    };
    Ok(names.iter().filter(is_replaced).cloned().collect())
}

fn unreadable(directory: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", directory.display()).into())
}

/// Whether a command is one of ours: a program, or a script that says so.
fn is_ours(command: &Path) -> bool {
    let Ok(content) = fs::read(command) else { return false };
    let is_script = content.starts_with(b"#!");
    !is_script || content.windows(7).any(|word| word == b"twowarm")
}

/// A directory that goes away with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let mut number = 0;
        loop {
            let name = format!("distrib2warm.{}.{number}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(unreadable(&path, &e)),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
