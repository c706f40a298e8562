//! Stopping the server, as pg_ctl stop does.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{FlushError, FlushStep};
use crate::data_directory::Postmaster;
use crate::limits::Every;

const POLL: Duration = Duration::from_millis(5);
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Stops the running server fast: open transactions are aborted, and a checkpoint is made. With `force` a server that
/// has not stopped within `limit` is stopped without one.
pub(super) fn stop(
    data_directory: &Path,
    limit: Duration,
    force: bool,
    report: &mut dyn FnMut(FlushStep<'_>),
    while_waiting: &mut dyn FnMut(),
) -> Result<Duration, FlushError> {
    let (postmaster, begun) = (Postmaster::of(data_directory), Instant::now());
    let pid = postmaster.pid().filter(|_| postmaster.is_running()).ok_or(FlushError::Stopped)?;
    let signal =
        |signal| kill(Pid::from_raw(pid), signal).map_err(|e| FlushError::Signal(e.into()));
    report(FlushStep::Stopping);
    signal(Signal::SIGINT)?;
    let (mut heartbeat, mut forced) = (Every::new(HEARTBEAT), false);
    while postmaster.is_running() {
        if begun.elapsed() >= limit && !forced {
            if !force {
                return Err(FlushError::NotStopped(limit));
            }
            report(FlushStep::Forced);
            signal(Signal::SIGQUIT)?;
            forced = true;
        }
        if heartbeat.is_due() {
            report(FlushStep::Stopping);
        }
        while_waiting();
        thread::sleep(POLL);
    }
    Ok(begun.elapsed())
}
