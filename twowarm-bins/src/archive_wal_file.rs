//! archiveWALFile: archive_command, which ships a file to the other node's archive.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use twowarm_core::FileError;
use twowarm_core::identifiers::NodeName;
use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::content::{Content, check_content, check_records};
use twowarm_core::ship::ssh::SshTransport;
use twowarm_core::ship::wire::{Purpose, Stored};
use twowarm_core::ship::{FarCommand, Link, Sender, Stoppable};
use twowarm_core::wal::{Completeness, SegmentHeader, SegmentName, TextVerdict, WalFileName};

use crate::command::{Command, Failure, fails};
use crate::exit_codes::DONE;
use crate::shutdown_budget::{OutOfTime, ShutdownBudget};

/// archiveWALFile's main.
pub fn main() -> ExitCode {
    Command {
        name: "archiveWALFile",
        arguments: "PATH NAME",
        about: "For archive_command = '../2warm/global/replication/archiveWALFile %p %f': ships the file to \
                the other node and exits 0 once it is on disk there. While local/replication/archiving_active \
                is absent it ignores the file and exits 0.",
        caller: Caller::Server,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let [path, name] = arguments else {
        let problem = format!("{} arguments instead of 2", arguments.len());
        return Err(Failure::Usage(problem));
    };
    let name = name.to_string_lossy();
    let name: WalFileName = name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
    let path = Path::new(path);
    if !install.archiving_active()? {
        let other =
            install.other_node.as_ref().map(|node| format!(", which would have gone to {node}"));
        log::info!(
            "ignoring {name}{}: archiving is not active (there is no {}; copyToStandby makes it)",
            other.unwrap_or_default(),
            install.archiving_active_file().display()
        );
        return Ok(DONE);
    }
    let other = install.require_other_node()?.clone();
    let shipped = ShutdownBudget::new(install).spend({
        let (install, other, path) = (install.clone(), other.clone(), path.to_owned());
        move |stop| ship(&install, &other, name, &path, stop)
    });
    let why = match shipped {
        Ok(Ok(())) => return Ok(DONE),
        Ok(Err(failure)) => return Err(failure),
        Err(OutOfTime::Now) => format!("{other} did not acknowledge it in time"),
        Err(OutOfTime::Before) => format!("{other} has not answered since that began"),
        Err(OutOfTime::NoThread(e)) => {
            return Err(Failure::Failed(format!("no thread could be started: {e}").into()));
        }
    };
    let problem = format!(
        "{name} is not shipped: the server is shutting down, and {why}. It is kept, and shipped after the next start"
    );
    Err(Failure::Failed(problem.into()))
}

fn ship(
    install: &Install,
    other: &NodeName,
    name: WalFileName,
    path: &Path,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let hello = install.local_node()?.hello(Purpose::ShipWal)?;
    let remark = check(path, name, &hello, install.settings.archive.ship_damaged)?;
    let transport = SshTransport::new(&install.reach(other), FarCommand::ReceiveWalFile)?;
    let transport = Stoppable::new(transport, stop);
    let mut sender = Link::open(&transport, hello).map(Sender::new)?;
    let outcome = sender.send(name, path)?;
    if let Some(remark) = remark {
        log::warn!("{} was sent, but {remark}", path.display());
    }
    if outcome == Stored::AlreadyThere {
        let archive = &sender.link().welcome().archive;
        log::info!("{name} was in {other}:{archive} already");
    }
    sender.leave();
    Ok(())
}

/// A file that is not what its name says must not leave: a standby that replayed it would end its
/// recovery. What comes back is what is to be said of one that may leave.
fn check(
    path: &Path,
    name: WalFileName,
    hello: &twowarm_core::ship::wire::Hello,
    ship_damaged: bool,
) -> Result<Option<String>, Failure> {
    let mut file = File::open(path).map_err(FileError::of("open", path))?;
    let bytes = file.metadata().map_err(FileError::of("read", path))?.len();
    let content = check_content(name, bytes, &mut file, hello)
        .map_err(|e| Failure::Failed(format!("{} is not sent: {e}", path.display()).into()))?;
    match content {
        Content::Text(TextVerdict::Sound) => Ok(None),
        Content::Text(TextVerdict::Unneeded(bad)) => {
            Ok(Some(format!("it is damaged; no server needs it: {bad}")))
        }
        Content::Segment(segment, header) => {
            // A `.partial` is there to be unfinished, and no server replays it by that name.
            match name {
                WalFileName::Partial(_) => Ok(None),
                _ => check_wal(path, segment, &header, ship_damaged),
            }
        }
    }
}

/// A damaged segment stops every standby. It is kept here, where it may still be mended, until the
/// administrator decides otherwise.
fn check_wal(
    path: &Path,
    name: SegmentName,
    header: &SegmentHeader,
    ship_damaged: bool,
) -> Result<Option<String>, Failure> {
    let (at, why) = match check_records(path, name, header)? {
        Completeness::Whole => return Ok(None),
        Completeness::Unknown(why) => return Ok(Some(why.to_string())),
        Completeness::Unfinished { at, why } => {
            return Ok(Some(format!("it is incomplete: its WAL ends at {at}: {why}")));
        }
        Completeness::Damaged { at, why } => (at, why),
    };
    let damage = format!("it is damaged: its WAL can't be read on from {at}: {why}");
    if ship_damaged {
        return Ok(Some(format!(
            "{damage}; the standby stops there and needs a new base copy (copyToStandby)"
        )));
    }
    let problem = format!(
        "{} is not sent: {damage}. Check this machine's disk and memory. If another node has a sound {name} (in pg_wal of a streaming standby), put that here; else set ship_damaged = true under [archive] in 2warm.toml, so that archiving goes on, and make a new base copy (copyToStandby) afterwards",
        path.display()
    );
    Err(Failure::Failed(problem.into()))
}
