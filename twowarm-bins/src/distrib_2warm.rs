//! distrib2warm: brings the 2warm installation to the other nodes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use twowarm_core::install::{Caller, Install, NodeName};
use twowarm_core::rsync::{Event, Outcome, Remote, Transfer, fetch_small};

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;

/// The files in `local` are the node's own (and may be a key); the directories must be there.
const RULES: &str = "+ /local/\n+ /local/replication/\n- /local/**\n";

/// Links are followed, since they lead elsewhere on another node; checksums tell what has changed; the
/// other node's own files are left alone. A server there may call a command at any moment: files are
/// renamed into place, one straight after the other, and only when all have arrived. Where rsync is killed
/// before that, all is as it was, and the next run goes on with what has arrived.
const OPTIONS: [&str; 4] = ["-rptL", "--checksum", "--delay-updates", "--info=name1,stats1"];

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
    let other = install.require_other_node().map_err(|e| Failure::Unusable(Box::new(e)))?;
    distribute(install, other)?;
    if let Some(node) = &install.dr_node {
        distribute(install, node)?;
    }
    Ok(DONE)
}

fn distribute(install: &Install, node: &NodeName) -> Result<(), Failure> {
    let remote = Remote::of(install, node);
    let from = install.pgroot.join("2warm");
    let to = remote.pgroot(install).join("2warm");
    print(&format!("Copying {} to {node}:{}\n", from.display(), to.display()));
    let replaced = replaced_scripts(&remote, &from, &to)?;
    if !replaced.is_empty() {
        print(&format!("Replacing scripts of 2warm on {node}: {}\n", replaced.join(", ")));
    }
    let transfer =
        Transfer { remote: &remote, from: &from, to: &to, options: &OPTIONS, rules: RULES };
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

/// The names of the commands that are scripts of 2warm there, and ours here.
fn replaced_scripts(remote: &Remote, from: &Path, to: &Path) -> Result<Vec<String>, Failure> {
    let ours = from.join(COMMANDS);
    let mut names = Vec::new();
    for entry in fs::read_dir(&ours).map_err(|e| unreadable(&ours, &e))? {
        let name = entry.map_err(|e| unreadable(&ours, &e))?.file_name();
        names.extend(name.into_string().ok().filter(|name| is_ours(&ours.join(name))));
    }
    names.sort_unstable();
    let theirs = Scratch::new()?;
    fetch_small(remote, &to.join(COMMANDS), &names, LARGEST_SCRIPT, &theirs.0)?;
    names.retain(|name| {
        let there = theirs.0.join(name);
        fs::read(&there).is_ok_and(|text| text.starts_with(b"#!")) && !is_ours(&there)
    });
    Ok(names)
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
