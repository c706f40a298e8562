//! distrib2warm: copies the 2warm installation to the other nodes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;

use twowarm_core::identifiers::NodeName;
use twowarm_core::node::{Caller, Install};
use twowarm_core::rsync::{Event, Outcome, Remote, Transfer, fetch_small};
use twowarm_core::ship::{check_machine, check_program};

use crate::command::{Command, Failure, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{DR_NODE, Manual, OTHER_NODE, SETTINGS};

/// The files in `local` are each node's own (one may be a private key); only its directories are copied. Files
/// that exist only on the other node are kept.
const RULES: &str = "+ /local/\n+ /local/replication/\n- /local/**\nP *\n";

/// Links are followed, since their targets may not exist on another node. Checksums decide what has changed. A
/// server there may call a command at any moment, so files are renamed into place one right after the other,
/// and only when all have arrived. If rsync is killed before that, nothing has changed, and the next run
/// continues with the files that have arrived.
const OPTIONS: [&str; 5] =
    ["-rptL", "--checksum", "--delay-updates", "--delete", "--info=name1,stats1"];

/// distrib2warm as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "distrib2warm",
        arguments: "",
        summary: "copies the 2warm installation to the other nodes",
        description: "Copies PGROOT/2warm to the other node, and to the disaster-recovery node if there is one. Of \
            2warm/local, which is each node's own, nothing is copied but the directories. Refuses a node whose machine \
            has another architecture, and checks that the commands run there.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[SETTINGS, OTHER_NODE, DR_NODE],
        see_also: &["configSetup(1)", "rsync(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, _arguments: &[OsString]) -> Result<u8, Failure> {
    let other = install.require_other_node()?;
    distribute(install, other)?;
    if let Some(node) = &install.dr_node {
        distribute(install, node)?;
    }
    Ok(DONE)
}

fn distribute(install: &Install, node: &NodeName) -> Result<(), Failure> {
    let reach = install.reach(node);
    let runs_commands = check_machine(&reach)?;
    let remote = Remote::new(reach.clone());
    let from = install.pgroot.join("2warm");
    let to = remote.pgroot().join("2warm");
    print(&format!("Copying \"{}\" to {node}:{}\n", from.display(), to.display()));
    let names = own_commands(&from.join(COMMANDS))?;
    // An installation that this user can't write to is copied without this check.
    let token = Token::create(&from.join(COMMANDS)).ok();
    let token_name = token.as_ref().map(Token::name);
    let asked: Vec<String> = names.iter().chain(&token_name).cloned().collect();
    let fetched = TemporaryDirectory::new()?;
    fetch_small(&remote, &to.join(COMMANDS), &asked, LARGEST_SCRIPT, &fetched.0)?;
    if token_name.is_some_and(|name| fetched.0.join(name).exists()) {
        let text = format!(
            "{node} is this node: its \"{}\" is the installation that would be copied. HINT: correct {node} in local/replication/othernode or drnode, or its address in 2warm/local/2warm.toml",
            to.display()
        );
        return Err(Failure::Failed(text.into()));
    }
    drop(token);
    let replaced = replaced_scripts(&fetched.0, &names);
    if !replaced.is_empty() {
        print(&format!("Replacing scripts of 2warm on {node}: {}\n", replaced.join(", ")));
    }
    // Temporary files of a killed rsync are removed: their names end in six random letters and digits. A
    // user's .NAME.backup has lower-case letters only, and is kept.
    let word = "[a-z]".repeat(6);
    let temporary = names.iter().map(|name| {
        let stem = format!("/{COMMANDS}/.{name}.");
        format!("P {stem}{word}\nR {stem}??????\n")
    });
    let rules = temporary.collect::<String>() + RULES;
    let transfer =
        Transfer { remote: &remote, from: &from, to: &to, options: &OPTIONS, rules: &rules };
    let outcome = transfer.run(&mut |event| -> Result<(), Infallible> {
        if let Event::Line(line) = event {
            print(&format!("{line}\n"));
        }
        Ok(())
    })?;
    match outcome {
        Outcome::Complete => {
            let own = from.join(COMMANDS).join(CHECKED);
            let version = process::Command::new(own).arg("--version").output();
            match version {
                Ok(version) if runs_commands && version.status.success() => {
                    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
                    check_program(&reach, &to.join(COMMANDS).join(CHECKED), &version)?;
                }
                _ => {}
            }
            Ok(())
        }
        Outcome::Partial(messages) => {
            let text = format!("could not copy all files to {node}: {}", messages.join("; "));
            Err(Failure::Failed(text.into()))
        }
    }
}

/// The directory of the commands in the tree.
const COMMANDS: &str = "global/replication";

/// The command that is started on the other node to see that they run there.
const CHECKED: &str = "archiveWALFile";

/// A size in bytes between those of 2warm's scripts and those of the programs that replace them.
const LARGEST_SCRIPT: u64 = 100_000;

/// The names of twowarm's commands in this node's tree. 2warm's scripts are left out.
fn own_commands(directory: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| failed(directory, &e))? {
        let name = entry.map_err(|e| failed(directory, &e))?.file_name().into_string();
        let plain = name.ok().filter(|name| !name.contains(['*', '?', '[', '\\', '\n']));
        names.extend(plain.filter(|name| is_own(&directory.join(name))));
    }
    names.sort_unstable();
    Ok(names)
}

/// Which of these commands are scripts of 2warm on the other node, by what was fetched from there.
fn replaced_scripts(fetched: &Path, names: &[String]) -> Vec<String> {
    let is_replaced = |name: &&String| {
        let there = fetched.join(name);
        fs::read(&there).is_ok_and(|text| text.starts_with(b"#!")) && !is_own(&there)
    };
    names.iter().filter(is_replaced).cloned().collect()
}

fn failed(directory: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", directory.display()).into())
}

/// Whether a command belongs to twowarm: a program, or a script that contains its name.
fn is_own(command: &Path) -> bool {
    let Ok(content) = fs::read(command) else { return false };
    let is_script = content.starts_with(b"#!");
    !is_script || content.windows(7).any(|word| word == b"twowarm")
}

/// A file in the installation by which it is recognized where it would be copied to. It is removed when it is
/// dropped; its name is one of those that are removed as left by rsync.
struct Token(PathBuf);

impl Token {
    fn create(directory: &Path) -> io::Result<Token> {
        let name = format!(".{}.{:06x}", COMMAND.manual.name, process::id() & 0xFF_FFFF);
        let path = directory.join(name);
        fs::write(&path, "")?;
        Ok(Token(path))
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A directory that is removed when it is dropped.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> Result<TemporaryDirectory, Failure> {
        let mut number = 0;
        loop {
            let name = format!("distrib2warm.{}.{number}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(TemporaryDirectory(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(failed(&path, &e)),
            }
        }
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
