//! restoreWALFile: the standby's restore_command.
//!
//! A server in warm mode takes every exit code from 1 to 125 for the end of the WAL and comes up as a
//! primary, so 1 is given only where that is wanted, and everything unforeseen ends above 125.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use twowarm_core::data_directory::{consistency_place, control_file};
use twowarm_core::install::{Caller, Install};
use twowarm_core::prune::{Floor, RestartPoint};
use twowarm_core::restore::{
    ArchiveSource, Careful, GiveUp, NodeOrders, Noted, Outcome, Pruning, RealClock, restore,
    unless_hung,
};
use twowarm_core::trigger::{Trigger, TriggerLook, Writing};
use twowarm_core::wal::{SegmentName, WalFileName};
use twowarm_core::watch::{Events, Watcher};

use crate::command::{Command, Failure};
use crate::exit_codes::{ABSENT, DONE, STOP_SERVER};

/// restoreWALFile's main.
pub fn main() -> ExitCode {
    Command {
        name: "restoreWALFile",
        arguments: "NAME PATH [RESTART]",
        about: "restore_command of a warm standby: waits for the WAL file NAME (%f) in the archive, copies it to PATH (%p),\n\
                and removes what lies before the restart point RESTART (%r).\n\n\
                Exit codes: 0 restored; 1 there is no such file and recovery may end; 200 the server is to stop.",
        caller: Caller::Server,
        run,
    }
    .main()
}

/// What the server asks for.
struct Request {
    name: WalFileName,
    target: PathBuf,
    restart_point: RestartPoint,
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let request = Request::read(arguments)?;
    let data_directory = install.require_pgdata()?;
    let trigger = install.trigger_file()?;
    let segment = request.name.segment();
    let control = control_file(data_directory).map_err(|e| Failure::Unusable(Box::new(e)))?;
    let needed_up_to = control.and_then(|control| consistency_place(data_directory, &control));
    let place = segment.map(|s| s.place);
    let orders = || NodeOrders::new(data_directory, &trigger, place, needed_up_to);
    let pruning = Pruning {
        restart_point: request.restart_point,
        keep: install.settings.archive.keep,
        floors: floors(install, segment),
    };
    let archive = install.require_archive()?;
    let source =
        ArchiveSource::new(archive, request.name, &request.target, data_directory, pruning)
            .marked_by(&install.local_replication());
    let arrival = source.path();
    let promote = data_directory.join("promote");
    let watched = [arrival.as_path(), trigger.as_path(), promote.as_path()];
    let mut clock = RealClock::new(Watcher::new(watched, Events::Wanted));
    let mut policy = match segment {
        Some(name) if matches!(request.name, WalFileName::Segment(_)) => {
            Careful::segment(name, install.settings.restore.restart_for_timeline)
        }
        _ => Careful::optional(request.name),
    };
    let mut waiting_orders = orders();
    let wait = move |asking| {
        let mut source = Noted::new(source, asking);
        restore(&mut source, &mut waiting_orders, &mut clock, &mut policy)
    };
    let mut orders = orders();
    let copied = || request.target.metadata().map_or(0, |found| found.len());
    match unless_hung(wait, &copied, &mut orders, install.settings.time_limit) {
        Outcome::Restored => Ok(DONE),
        Outcome::GaveUp(why) => {
            tell(request.name, why);
            if let (GiveUp::EndNow, Some(name)) = (why, segment) {
                remember_refused(&mut orders, name);
            }
            Ok(ABSENT)
        }
        Outcome::Stopped(why) => {
            log::error!("the server is to stop: {why}");
            Ok(STOP_SERVER)
        }
        Outcome::Exit(code) => Ok(code),
    }
}

impl Request {
    fn read(arguments: &[OsString]) -> Result<Request, Failure> {
        let text = |argument: &OsString| argument.to_string_lossy().into_owned();
        let (name, target, restart) = match arguments {
            [name, target] => (text(name), target, None),
            [name, target, restart] => (text(name), target, Some(text(restart))),
            _ => return Err(Failure::Usage(format!("{} arguments", arguments.len()))),
        };
        let name: WalFileName = name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
        if matches!(name, WalFileName::Partial(_)) {
            return Err(Failure::Usage(format!("no server asks for {name}")));
        }
        let target = PathBuf::from(target);
        let directory = match target.parent() {
            Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
            Some(directory) => directory,
            None => return Err(Failure::Usage(format!("{} is no file path", target.display()))),
        };
        if !directory.is_dir() {
            return Err(Failure::Usage(format!("{} is no directory", directory.display())));
        }
        let restart_point = RestartPoint::parse(restart.as_deref());
        if restart_point == RestartPoint::Unreadable {
            log::warn!(
                "the restart point \"{}\" is no segment, so nothing is pruned",
                restart.unwrap_or_default()
            );
        }
        Ok(Request { name, target, restart_point })
    }
}

/// What others still need of this archive. What the DR node has got is not known here. That nothing is
/// pruned for its sake is said at one segment in 256, which takes no memory.
fn floors(install: &Install, segment: Option<SegmentName>) -> Vec<Floor> {
    if let (Some(node), Some(name)) = (&install.dr_node, segment)
        && name.place.segment % 256 == 0
    {
        log::info!(
            "nothing is removed from the archive while local/replication/drnode names {node}: what {node} has got is not known"
        );
    }
    install.dr_node.iter().map(|_| Floor::Unknown).collect()
}

fn tell(name: WalFileName, why: GiveUp) {
    match why {
        GiveUp::NotThere => log::debug!("there is no {name}"),
        GiveUp::EndNow => log::warn!("recovery ends before {name}, as the fast trigger says"),
        GiveUp::EndWhenAbsent => log::info!("{name} has not arrived, and recovery is to end"),
        GiveUp::TimeIsUp | GiveUp::CopyFailed => log::warn!("gave up {name}"),
    }
}

/// The server asks again: for this segment, which stays refused, and for the last one before it, which
/// it must get (8.2 to 9.1 would panic). The trigger file itself remembers which is which.
fn remember_refused(orders: &mut NodeOrders, name: SegmentName) {
    let trigger = orders.trigger();
    if let TriggerLook::Complete(Trigger::Fast) = trigger.look(Writing::Closed)
        && let Err(e) = trigger.remember(name)
    {
        log::error!("{e}; the last segment may be refused when the server asks for it again");
    }
}
