//! A standby whose configuration became wrong while it runs: a typing error in 2warm.toml must not stop
//! a healthy server at its next segment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use twowarm_core::data_directory::{RecoveryMode, recovery_settings};
use twowarm_core::restore::{Clock, NodeOrders, Order, RealClock, RecoveryMemory, Standing};
use twowarm_core::watch::{Events, Watcher};

use crate::command::Problem;

/// A restore_command that waits for its configuration.
pub(crate) struct MisconfiguredStandby {
    data_directory: PathBuf,
    /// What the server was served from before.
    archive: PathBuf,
}

/// What to do after the wait.
pub(crate) enum Next {
    /// The configuration can be read again.
    Corrected,
    /// Answer "not yet": in standby mode the server asks again.
    NotYet,
    /// Recovery is to end: restore what is there from the archive that served the server before.
    Restore,
    /// Nobody waits any more.
    Fail,
}

const LOOK: Duration = Duration::from_secs(1);
const FIRST_GAP: Duration = Duration::from_secs(60);
const LONGEST_GAP: Duration = Duration::from_secs(3600);
/// How long standby mode waits for an answer where the setting for it can't be read.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

impl MisconfiguredStandby {
    /// The server whose data directory is the working directory. None if that holds no running server
    /// that was served since it started: a start with a wrong configuration is refused.
    pub(crate) fn of_working_directory() -> Option<MisconfiguredStandby> {
        let data_directory = std::env::current_dir().ok()?;
        let memory = RecoveryMemory::of(&data_directory);
        let archive = memory.archive()?.to_owned();
        Some(MisconfiguredStandby { data_directory, archive })
    }

    /// The server's data directory.
    pub(crate) fn data_directory(&self) -> &Path {
        &self.data_directory
    }

    /// The archive that served the server before.
    pub(crate) fn archive(&self) -> &Path {
        &self.archive
    }

    /// Waits until the configuration is corrected or something else is to be done, and complains now
    /// and then.
    pub(crate) fn wait(&self, problem: &mut Problem) -> Next {
        let [trigger, promote] = ["trigger", "promote"].map(|name| self.data_directory.join(name));
        let mut orders = NodeOrders::new(&self.data_directory, &trigger, None, None);
        let watched = [trigger.as_path(), promote.as_path()];
        let mut clock = RealClock::new(Watcher::new(watched, Events::Wanted));
        let (mut next_complaint, mut gap) = (Duration::ZERO, FIRST_GAP);
        loop {
            let waited = clock.elapsed();
            if waited >= next_complaint {
                let why = &problem.why;
                log::error!(
                    "{why}; the standby waits until this is corrected, and obeys a trigger"
                );
                next_complaint = waited + gap;
                gap = (gap * 2).min(LONGEST_GAP);
            }
            match orders.look(&clock) {
                Order::NobodyWaits(_) => return Next::Fail,
                Order::EndWhenAbsent | Order::EndNow { .. } => return Next::Restore,
                Order::Wait | Order::Unsettled => {}
            }
            if waited >= WAIT_LIMIT && self.is_in_standby_mode() {
                return Next::NotYet;
            }
            if !clock.arm() {
                clock.wait(LOOK);
            }
            if problem.is_corrected() {
                return Next::Corrected;
            }
        }
    }

    fn is_in_standby_mode(&self) -> bool {
        let settings = recovery_settings(&self.data_directory);
        settings.is_ok_and(|settings| settings.mode == RecoveryMode::Standby)
    }
}
