use std::thread;
use std::time::{Duration, Instant};

use super::undo::Asked;
use super::{
    FarPromotion, FlushError, FlushFailure, FlushPrimary, FlushStep, NotPromoted, NowPrimary,
    ServerLeft, StartServer, SwitchoverError, UndoFlush,
};
use crate::data_directory::running_server;
use crate::receipt::Receipt;
use crate::retry::Retryable;
use crate::standby::{Rejoin, RejoinError, RejoinStep};

/// How long the history of the new timeline is waited for.
const HISTORY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Moves the primary to the other node: flushes it here, promotes the standby there, and makes this node a standby.
#[derive(Debug)]
pub struct Switchover {
    /// Stops the primary.
    pub flush: FlushPrimary,
    /// Promotes the standby.
    pub promotion: FarPromotion,
    /// Ends the flush if the standby is not promoted.
    pub undo: UndoFlush,
    /// Makes the old primary a standby.
    pub rejoin: Rejoin,
    /// Starts the server of this node.
    pub start: StartServer,
}

/// What [`Switchover::run`] does.
#[derive(Debug)]
#[non_exhaustive]
pub enum SwitchoverStep<'a> {
    /// A step of flushing the primary.
    Flush(FlushStep<'a>),
    /// triggerStandby can be started on the other node.
    CanPromote {
        /// The node.
        node: &'a str,
    },
    /// The primary is flushed, and triggerStandby is started on the other node.
    Promoting {
        /// The node.
        node: &'a str,
    },
    /// triggerStandby printed a line.
    Printed {
        /// The node.
        node: &'a str,
        /// The line.
        line: &'a str,
    },
    /// The other node is the primary now.
    Promoted {
        /// The node.
        node: &'a str,
    },
    /// A step of making this node a standby.
    Rejoin(RejoinStep),
    /// This node is a standby.
    Rejoined,
    /// The switchover is aborted, and the receipt is void.
    Undone {
        /// Whether the DR node, which was left out, may still hold it.
        is_left: bool,
    },
    /// The server of this node was started.
    Started,
    /// It must be started by the administrator.
    MustBeStarted,
}

type Report<'a> = &'a mut dyn FnMut(SwitchoverStep<'_>);

impl Switchover {
    /// Checks what can be checked before anything is changed.
    ///
    /// # Errors
    /// If this node is not a primary that ships its WAL, or another node can't be reached or can't do its part.
    pub fn check(&self, report: Report<'_>) -> Result<(), SwitchoverError> {
        self.check_flush(report)?;
        self.check_nodes(report)
    }

    fn check_flush(&self, report: Report<'_>) -> Result<(), SwitchoverError> {
        let checked = self.flush.check(&mut |step| report(SwitchoverStep::Flush(step)));
        checked.map_err(|error| match error {
            FlushError::Standby { data_directory, primary } => {
                SwitchoverError::Standby { data_directory, primary }
            }
            error => SwitchoverError::NotReady(Box::new(error)),
        })
    }

    fn check_nodes(&self, report: Report<'_>) -> Result<(), SwitchoverError> {
        let checked = self.rejoin.check_version();
        checked.map_err(|error| SwitchoverError::NoRejoin(Box::new(error)))?;
        let checked = self.promotion.check();
        checked.map_err(|error| SwitchoverError::NoTrigger(Box::new(error)))?;
        report(SwitchoverStep::CanPromote { node: self.promotion.node() });
        Ok(())
    }

    /// Does it. After each error it is clear which node is the primary, or the error says that it is not known.
    ///
    /// # Errors
    /// If a step fails.
    pub fn run(&self, report: Report<'_>) -> Result<Receipt, SwitchoverError> {
        // This is reported when it is done.
        self.check_flush(&mut |_| {})?;
        self.check_nodes(report)?;
        let had_receipt = self.flush.earlier_receipt();
        let had_receipt =
            had_receipt.map_err(|e| SwitchoverError::NotReady(Box::new(e)))?.is_some();
        // So that the new primary can ship to this node at once.
        let prepared = self.rejoin.prepare_archive();
        prepared.map_err(|error| SwitchoverError::NoRejoin(Box::new(error)))?;
        let node = self.promotion.node();
        let mut asked = Asked::All;
        let flushed = self.flush.run(&mut |step| {
            if matches!(step, FlushStep::WithoutDrNode { .. }) {
                asked = Asked::Standby { had_receipt };
            }
            report(SwitchoverStep::Flush(step));
        });
        let receipt = flushed.map_err(|failure| {
            let now = self.after(&failure, asked, report);
            SwitchoverError::Flush { failure, now }
        })?;
        report(SwitchoverStep::Promoting { node });
        let promoted =
            self.promotion.run(&mut |line| report(SwitchoverStep::Printed { node, line }));
        promoted.map_err(|error: NotPromoted| {
            let now = match error.is_certain() {
                true => self.go_on(asked, NowPrimary::Unknown, report),
                false => NowPrimary::Unknown(node.to_owned()),
            };
            SwitchoverError::Promotion { error: Box::new(error), now }
        })?;
        report(SwitchoverStep::Promoted { node });
        self.follow(report).map_err(|error| SwitchoverError::Rejoin {
            error: Box::new(error),
            now: NowPrimary::Other(node.to_owned()),
        })?;
        report(SwitchoverStep::Rejoined);
        let node = node.to_owned();
        let is_started =
            self.start.run().map_err(|error| SwitchoverError::Start { node, error })?;
        report(if is_started { SwitchoverStep::Started } else { SwitchoverStep::MustBeStarted });
        Ok(receipt)
    }

    /// Which node is the primary after a flush that failed.
    fn after(&self, failure: &FlushFailure, asked: Asked, report: Report<'_>) -> NowPrimary {
        match failure.left {
            ServerLeft::Unchanged if self.is_running() => NowPrimary::ThisRunning,
            // The standby was not triggered.
            ServerLeft::Unchanged | ServerLeft::Stopping => NowPrimary::ThisStopped,
            ServerLeft::Stopped => self.go_on(asked, NowPrimary::NotTriggered, report),
        }
    }

    /// Whether the server of this node is running. It may have crashed meanwhile.
    fn is_running(&self) -> bool {
        running_server(&self.rejoin.data_directory).is_ok_and(|server| server.is_some())
    }

    /// Ends the flush, so that this node is the primary again: only after the other node has confirmed that it
    /// was not promoted. `unasked` is the result if it can't be asked.
    fn go_on(
        &self,
        asked: Asked,
        unasked: fn(String) -> NowPrimary,
        report: Report<'_>,
    ) -> NowPrimary {
        let undone = match self.undo.ask(asked, &mut |_| {}) {
            Ok(undone) => undone,
            Err(error) => {
                log::error!("{error}");
                let standby = self.promotion.node().to_owned();
                return match error {
                    FlushError::Promoted { node } => NowPrimary::Other(node),
                    FlushError::Forked { .. } => NowPrimary::Other(standby),
                    FlushError::DrNodePromoted { .. } => unasked(standby),
                    error if error.is_refused() => NowPrimary::Unknown(standby),
                    _ => unasked(standby),
                };
            }
        };
        report(SwitchoverStep::Undone { is_left: undone.is_left });
        match self.start.run() {
            Ok(true) => {
                report(SwitchoverStep::Started);
                NowPrimary::ThisRunning
            }
            Ok(false) => NowPrimary::ThisStopped,
            Err(error) => {
                log::error!("{error}");
                NowPrimary::ThisStopped
            }
        }
    }

    /// Makes this node a standby. The history of the new timeline may not have arrived yet.
    fn follow(&self, report: Report<'_>) -> Result<(), RejoinError> {
        let begun = Instant::now();
        loop {
            match self.rejoin.run(&mut |step| report(SwitchoverStep::Rejoin(step))) {
                Err(error) if error.is_retryable() && begun.elapsed() < HISTORY => {
                    thread::sleep(POLL);
                }
                done => return done,
            }
        }
    }
}
