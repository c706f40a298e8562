//! restoreWALFile: the standby's restore_command.
//!
//! A server in warm mode takes every exit code from 1 to 125 for the end of the WAL and comes up as a
//! primary, so 1 is given only where that is wanted, and everything unforeseen ends above 125.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;

use twowarm_core::node::{Caller, Install};
use twowarm_core::prune::{Floor, RestartPoint};
use twowarm_core::restore::{GiveUp, Outcome, Pruning, RecoveryMemory, StandbyRestore};
use twowarm_core::wal::{SegmentName, WalFileName};

use crate::command::{Command, Failure, Misconfigured, Problem};
use crate::exit_codes::{ABSENT, DONE, ExitPolicy, STOP_SERVER};
use crate::manual::Manual;
use crate::misconfigured_standby::{MisconfiguredStandby, Next};

/// restoreWALFile as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "restoreWALFile",
        arguments: "NAME PATH [RESTART]",
        summary: "restores a WAL file from the archive of a standby",
        description: "restore_command of a standby: waits for the WAL file NAME (%f) in the archive, copies it to PATH (%p), \
            and removes what is older than the restart point RESTART (%r).",
        options: &[
            ("NAME", "The file that the server requests (%f)."),
            ("PATH", "Where the server wants it (%p)."),
            ("RESTART", "The oldest file that must be kept (%r)."),
        ],
        answers: &[
            (DONE, "The file was restored."),
            (ABSENT, "There is no such file and recovery may end; in standby mode: not yet."),
        ],
        files: &[
            ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node."),
            ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node."),
            ("PGDATA/trigger", "The trigger file: recovery ends while it exists."),
        ],
        see_also: &["triggerStandby(1)", "configStandby(1)", "archiveWALFile(1)"],
    },
    caller: Caller::Server,
    failures: ExitPolicy::StopServer,
    misconfigured,
    run,
};

/// restoreWALFile's main.
pub fn main() -> ExitCode {
    COMMAND.main()
}

/// The first argument of the process that asks the archive for its parent; the parent's process id
/// follows.
const ASK: &str = "--ask-archive-for";

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::read(arguments)?;
    let restore = StandbyRestore {
        archive: install.require_archive()?.to_owned(),
        local_replication: Some(install.local_replication()),
        trigger: install.trigger_file()?,
        pruning: Pruning {
            restart_point: request.restart_point,
            keep: install.settings.archive.keep,
            floors: floors(install),
        },
        restart_for_timeline: install.settings.restore.restart_for_timeline,
        time_limit: install.settings.time_limit,
        wait_limit: install.settings.restore.wait_limit,
        ..request.in_directory(install.require_pgdata()?)
    };
    let is_first = RecoveryMemory::of(&restore.data_directory).archive().is_none();
    let code = request.answer(&restore)?;
    if code == DONE && request.parent.is_none() {
        if is_first && let Err(e) = install.remember_data_directory() {
            log::debug!("{e}");
        }
        tell_of_dr_node(install, request.name.segment(), is_first);
    }
    Ok(code)
}

/// A running standby waits for its configuration to be corrected, and still obeys a trigger, with the
/// archive that it was served from before.
fn misconfigured(arguments: &[OsString], problem: &mut Problem) -> Misconfigured {
    let Ok(request) = Request::read(arguments) else { return Misconfigured::Fails };
    let Some(standby) = MisconfiguredStandby::of_working_directory() else {
        return Misconfigured::Fails;
    };
    // The parent process has waited already.
    let next = if request.parent.is_some() { Next::Restore } else { standby.wait(problem) };
    match next {
        Next::Fail => Misconfigured::Fails,
        Next::Corrected => Misconfigured::Corrected,
        Next::NotYet => Misconfigured::Ended(ABSENT),
        Next::Restore => {
            let archive = standby.archive().to_owned();
            let directory = standby.data_directory();
            let restore = StandbyRestore { archive, ..request.in_directory(directory) };
            Misconfigured::Ended(request.answer(&restore).unwrap_or(STOP_SERVER))
        }
    }
}

/// What the server asks for.
struct Request {
    /// The process that this one asks for, if it is not the server's own.
    parent: Option<i32>,
    arguments: Vec<OsString>,
    name: WalFileName,
    target: PathBuf,
    restart_point: RestartPoint,
}

impl Request {
    fn read(arguments: &[OsString]) -> Result<Request, Failure> {
        let text = |argument: &OsString| argument.to_string_lossy().into_owned();
        let (parent, arguments) = match arguments {
            [ask, parent, rest @ ..] if ask == ASK => (text(parent).parse().ok(), rest),
            _ => (None, arguments),
        };
        let (name, target, restart) = match arguments {
            [name, target] => (text(name), target, None),
            [name, target, restart] => (text(name), target, Some(text(restart))),
            _ => return Err(Failure::Usage(format!("{} arguments", arguments.len()))),
        };
        let name: WalFileName = name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
        if matches!(name, WalFileName::Partial(_)) {
            return Err(Failure::Usage(format!("PostgreSQL never requests {name}")));
        }
        let target = PathBuf::from(target);
        let directory = match target.parent() {
            Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
            Some(directory) => directory,
            None => return Err(Failure::Usage(format!("{} is not a file path", target.display()))),
        };
        if !directory.is_dir() {
            return Err(Failure::Usage(format!("{} is not a directory", directory.display())));
        }
        let restart_point = RestartPoint::parse(restart.as_deref());
        if restart_point == RestartPoint::Unreadable && parent.is_none() {
            log::warn!(
                "the restart point \"{}\" is not a segment name, so nothing is removed from the archive",
                restart.unwrap_or_default()
            );
        }
        let arguments = arguments.to_vec();
        Ok(Request { parent, arguments, name, target, restart_point })
    }

    /// The restore that it asks for, by the defaults: an archive in the data directory, of which nothing is
    /// removed.
    fn in_directory(&self, data_directory: &Path) -> StandbyRestore {
        StandbyRestore {
            name: self.name,
            target: self.target.clone(),
            data_directory: data_directory.to_owned(),
            archive: data_directory.join("archive"),
            local_replication: None,
            trigger: data_directory.join("trigger"),
            pruning: Pruning {
                restart_point: RestartPoint::Unreadable,
                keep: 0,
                floors: vec![Floor::Unknown],
            },
            restart_for_timeline: false,
            time_limit: Duration::from_secs(30),
            wait_limit: Duration::from_secs(60),
        }
    }

    fn answer(&self, restore: &StandbyRestore) -> Result<u8, Failure> {
        if let Some(parent) = self.parent {
            restore.in_child(parent)?;
            return Ok(DONE);
        }
        let outcome = restore.run(&mut || self.child());
        match outcome? {
            Outcome::Restored => Ok(DONE),
            Outcome::GaveUp(why) => {
                tell(self.name, why);
                Ok(ABSENT)
            }
            Outcome::Stopped(why) => {
                log::error!("the server is to stop: {why}");
                Ok(STOP_SERVER)
            }
            Outcome::Exit(code) => Ok(code),
        }
    }

    /// This program again, to ask the archive. By the kernel's name for it, since an installation may
    /// have put a newer one in its place; called as this one was, since that tells where the 2warm tree is.
    fn child(&self) -> process::Command {
        let mut command = process::Command::new("/proc/self/exe");
        if let Some(called) = std::env::args_os().next() {
            command.arg0(called);
        }
        command.arg(ASK).arg(process::id().to_string()).args(&self.arguments);
        command
    }
}

/// What others still need of this archive. What the DR node has got is not known here.
fn floors(install: &Install) -> Vec<Floor> {
    install.dr_node.iter().map(|_| Floor::Unknown).collect()
}

/// Says that nothing is pruned for the DR node's sake: at the first segment that a server is given after its
/// start, and at one in 256.
fn tell_of_dr_node(install: &Install, segment: Option<SegmentName>, is_first: bool) {
    if let (Some(node), Some(name)) = (&install.dr_node, segment)
        && (is_first || name.place.segment.is_multiple_of(256))
    {
        log::info!(
            "nothing is removed from the archive while local/replication/drnode names {node}: what {node} has got is not known"
        );
    }
}

fn tell(name: WalFileName, why: GiveUp) {
    match why {
        GiveUp::NotThere => log::debug!("there is no {name}"),
        GiveUp::NotYet => log::debug!("{name} has not arrived yet"),
        GiveUp::EndNow => log::warn!("recovery ends before {name}, as the fast trigger says"),
        // Which timelines there are is asked at every promotion, and the newest is never there.
        GiveUp::EndWhenAbsent if !matches!(name, WalFileName::Segment(_)) => {
            log::debug!("there is no {name}");
        }
        GiveUp::EndWhenAbsent => log::info!("{name} has not arrived, and recovery is to end"),
        GiveUp::ArchiveUnavailable => {
            log::warn!("{name} counts as absent, and recovery is to end");
        }
        GiveUp::TimeIsUp | GiveUp::CopyFailed => log::warn!("gave up {name}"),
    }
}
