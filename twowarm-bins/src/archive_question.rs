//! What triggerStandby asks of the archive, by a child process that can be left behind: a call into a
//! file system that hangs can't be taken back, and keeps the process that made it from ending.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use twowarm_core::archive::{Archive, Given, check_mark};
use twowarm_core::data_directory::identity;
use twowarm_core::node::Install;
use twowarm_core::restore::RecoveryMemory;
use twowarm_core::server::RunningServer;
use twowarm_core::time_limit::output_within;
use twowarm_core::timelines::Timelines;

use crate::command::{Failure, print};
use crate::exit_codes::DONE;

/// The argument that makes a process the child.
pub(crate) const ASK: &str = "--ask-archive";

/// The line that ends a whole answer.
const END: &str = "end";

/// What the archive answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Read(Content),
    /// It can't be read, and why.
    Failed(String),
    /// There was no answer within the time limit.
    Hung,
}

/// What the archive holds that matters to a promotion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// A timeline that the node could follow and does not, with the node's own.
    pub newer: Option<(String, String)>,
    /// A segment that the node still needs and that is missing, with a later one that is there.
    pub gap: Option<(String, String)>,
    /// The damaged files that failovers have set aside.
    pub damaged: BTreeSet<String>,
}

/// Asks the archive of this node.
pub(crate) fn ask(install: &Install, limit: Duration) -> Answer {
    // The running program itself, also if another one stands under its name by now.
    let mut question = Command::new("/proc/self/exe");
    // Never our standard error: a child left behind would hold it open for the caller.
    question.arg(ASK).env("PGROOT", &install.pgroot).stdin(Stdio::null());
    match output_within(&mut question, limit) {
        Ok(output) => read(&output),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Answer::Hung,
        Err(e) => Answer::Failed(format!("no process could be started to read it ({e})")),
    }
}

/// The child's side: prints what it finds.
pub(crate) fn answer(install: &Install) -> Result<u8, Failure> {
    let content = look(install)?;
    if let Some((newer, own)) = content.newer {
        print(&format!("newer {newer} {own}\n"));
    }
    if let Some((missing, found)) = content.gap {
        print(&format!("gap {missing} {found}\n"));
    }
    for name in content.damaged {
        print(&format!("damaged {name}\n"));
    }
    print(&format!("{END}\n"));
    Ok(DONE)
}

fn look(install: &Install) -> Result<Content, Failure> {
    let pgdata = install.require_pgdata()?;
    let directory = install.require_archive()?;
    check_mark(directory, &install.local_replication())?;
    let archive = Archive::open(directory)?;
    let given = given(pgdata)?;
    // Before 9.2 no file of the server tells that it follows a newer timeline, until its next restart point.
    let replayed = match given {
        Given::Segment(segment) => Some(segment.timeline),
        Given::Unknown | Given::Nothing => None,
    };
    let (newer, gap) = match identity(pgdata)?.and_then(|cluster| cluster.control) {
        Some(control) => (
            Timelines::new(directory, Some(pgdata))
                .followable(&control)?
                .filter(|newer| replayed.is_none_or(|timeline| timeline < newer.timeline)),
            archive.gap_of_standby(given, &control, pgdata)?,
        ),
        None => (None, None),
    };
    let names = fs::read_dir(directory)?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(Content {
        newer: newer.map(|found| (found.timeline.to_string(), found.own.to_string())),
        gap: gap.map(|gap| (gap.missing.to_string(), gap.found.to_string())),
        damaged: names.filter(|name| is_damaged(name)).collect(),
    })
}

/// What the node's server was given since it started, as far as restoreWALFile has noted it.
fn given(pgdata: &Path) -> Result<Given, Failure> {
    let memory = RecoveryMemory::of(pgdata);
    Ok(match memory.restored() {
        Some(segment) => Given::Segment(segment),
        // Another program is its restore_command.
        None if memory.mode().is_none() && RunningServer::find(pgdata)?.is_some() => Given::Unknown,
        None => Given::Nothing,
    })
}

/// A copy of a damaged segment that was handed over, or a file that was not the one of its name.
fn is_damaged(name: &str) -> bool {
    [".corrupt", ".foreign"].iter().any(|mark| name.contains(mark)) && !name.contains('\n')
}

fn read(output: &Output) -> Answer {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut content = Content::default();
    for line in text.lines() {
        match line.split_once(' ') {
            None if line == END => return Answer::Read(content),
            Some(("newer", timelines)) => {
                content.newer = timelines.split_once(' ').map(|(n, o)| (n.into(), o.into()));
            }
            Some(("gap", names)) => {
                content.gap = names.split_once(' ').map(|(m, f)| (m.into(), f.into()));
            }
            Some(("damaged", name)) => {
                content.damaged.insert(name.to_owned());
            }
            _ => break,
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().map(|line| line.rsplit("ERROR: ").next().unwrap_or(line));
    Answer::Failed(said.map_or_else(|| output.status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn saying(stdout: &str, stderr: &str) -> Answer {
        let (stdout, stderr) = (stdout.into(), stderr.into());
        read(&Output { status: ExitStatus::from_raw(256), stdout, stderr })
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        assert_eq!(saying("end\n", ""), Answer::Read(Content::default()));
        let content = Content {
            newer: Some(("2".into(), "1".into())),
            gap: Some(("7A".into(), "7B".into())),
            damaged: BTreeSet::from(["A.corrupt".into()]),
        };
        assert_eq!(
            saying("newer 2 1\ngap 7A 7B\ndamaged A.corrupt\nend\n", ""),
            Answer::Read(content)
        );
        let failed = |text: &str| Answer::Failed(text.into());
        assert_eq!(saying("", "triggerStandby: ERROR: no such disk\n"), failed("no such disk"));
        assert_eq!(saying("newer 2 1\n", ""), failed("exit status: 1"));
        assert_eq!(saying("other\nend\n", ""), failed("exit status: 1"));
    }
}
