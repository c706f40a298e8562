use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive_process::ToParent;
use super::reminder::{FIRST_REMINDER, Reminder};
use super::standby_orders::StandbyOrders;
use super::{
    Clock, GiveUp, Order, Outcome, RealClock, RecoveryMemory, RecoveryOrders, RestoreError,
    RestoreRequest, StandbyRestore,
};
use crate::data_directory::{RecoveryMode, recovery_settings};
use crate::watch::{Events, Watcher};

/// A running standby whose restore_command can no longer read its own configuration.
///
/// A syntax error in a configuration file must not stop a server that was running well when the file was
/// edited. Its restore_command waits until the file is corrected. A trigger is still obeyed, with the
/// archive that the server was served from before.
#[derive(Debug)]
pub struct MisconfiguredStandby {
    request: RestoreRequest,
    data_directory: PathBuf,
    archive: PathBuf,
}

const POLL: Duration = Duration::from_secs(1);
/// How long to wait in standby mode before the answer "not yet", where the setting cannot be read.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

impl MisconfiguredStandby {
    /// The running server of this data directory that requests a file. None if it has not been served
    /// since it started: to start with a wrong configuration is an error.
    #[must_use]
    pub fn find(request: RestoreRequest, data_directory: &Path) -> Option<MisconfiguredStandby> {
        let archive = RecoveryMemory::of(data_directory).archive()?.to_owned();
        Some(MisconfiguredStandby { request, data_directory: data_directory.to_owned(), archive })
    }

    /// Waits until the configuration is corrected, which is None, or until there is an answer to the
    /// request without it. `why` is the error, `read_again` reads the configuration once more; the error is
    /// logged from time to time.
    ///
    /// # Errors
    /// As [`StandbyRestore::run`].
    pub fn run(
        &self,
        why: &str,
        read_again: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Option<Outcome>, RestoreError> {
        // The parent process has waited already.
        if ToParent::of_this_process()?.is_some() {
            return self.restore().map(Some);
        }
        let [trigger, promote] = ["trigger", "promote"].map(|name| self.data_directory.join(name));
        let mut orders = StandbyOrders::new(&self.data_directory, &trigger, None, None);
        let watched = [trigger.as_path(), promote.as_path()];
        let mut clock = RealClock::new(Watcher::new(watched, Events::Wanted));
        let mut reminder = Reminder::new(Duration::ZERO, FIRST_REMINDER);
        let mut why = why.to_owned();
        loop {
            let waited = clock.elapsed();
            if reminder.is_due(waited) {
                log::error!("{why}. The standby waits until this is corrected or it is triggered");
            }
            match orders.look(&clock) {
                Order::Stop(why) => return Ok(Some(Outcome::Stopped(why))),
                Order::EndWhenAbsent | Order::EndNow { .. } => return self.restore().map(Some),
                Order::Wait | Order::Unsettled => {}
            }
            if waited >= WAIT_LIMIT && self.is_in_standby_mode() {
                return Ok(Some(Outcome::GaveUp(GiveUp::NotYet)));
            }
            if !clock.arm() {
                clock.wait(POLL);
            }
            // Last: a failover that is requested already does not wait for a disk that may be slow to fail.
            match read_again() {
                Ok(()) => return Ok(None),
                Err(again) => why = again,
            }
        }
    }

    fn restore(&self) -> Result<Outcome, RestoreError> {
        StandbyRestore::new(self.request.clone(), &self.data_directory, &self.archive).run()
    }

    fn is_in_standby_mode(&self) -> bool {
        let settings = recovery_settings(&self.data_directory);
        settings.is_ok_and(|settings| settings.mode == RecoveryMode::Standby)
    }
}
