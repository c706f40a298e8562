mod answer;
mod ask;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::archive_process::{NoEvents, ToParent};
use super::standby_orders::StandbyOrders;
use super::standby_policy::ServerMode;
use super::{GiveUp, Order, Outcome, RecoveryMemory, RecoveryOrders, RestoreRequest};
use crate::archive::OtherArchive;
use crate::data_directory::{
    IdentityError, PROMOTE_FILES, RecoveryMode, control_file, identity, last_place_needed,
    major_version, recovery_settings, request_promotion,
};
use crate::identifiers::NodeName;
use crate::prune::Keep;
use crate::prune::RestartPoint;
use crate::trigger::{Trigger, TriggerLook, Writing};
use crate::wal::{ClusterState, SegmentName, WalFileName};

/// One call of a standby's restore_command, from the request to the answer.
///
/// It waits for the file, checks it and copies it to the target. A trigger file, `pg_ctl promote` and a
/// postmaster that is gone end the wait. In warm mode, where the server takes every "no such file" for the
/// end of WAL, nothing else does; in standby mode the answer is "not yet" after a while. Calls for the same
/// server remember what they need of each other in `.twowarm_recovery` in the data directory.
///
/// The archive may hang, as on a network file system. Therefore it is asked by a child process, which is
/// this program once more: the same executable with the same arguments and an environment variable. In that
/// process [`run`](StandbyRestore::run) does not return. So a program should come to `run` quickly, should
/// do nothing before that it would not do twice, and should not change its working directory.
///
/// ```
/// use twowarm_core::restore::{Outcome, RestoreRequest, StandbyRestore};
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/doc-example");
/// # let (archive, data_directory) = (dir.join("archive"), dir.join("data"));
/// # [&archive, &data_directory].into_iter().try_for_each(std::fs::create_dir_all)?;
/// # std::fs::write(archive.join("00000002.history"), "1\t0/3000158\tno recovery target\n")?;
/// # let target = data_directory.join("RECOVERYHISTORY");
/// let arguments = ["00000002.history".into(), target.into()];
/// let request = RestoreRequest::from_arguments(&arguments)?;
/// let mut restore = StandbyRestore::new(request, &data_directory, &archive);
/// // Nothing else reads this archive: segments before %r may be removed.
/// restore.consumers = Some(Vec::new());
/// assert_eq!(restore.run()?, Outcome::Restored);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StandbyRestore {
    /// The request.
    pub request: RestoreRequest,
    /// The server's data directory.
    pub data_directory: PathBuf,
    /// The archive directory.
    pub archive: PathBuf,
    /// The node's `local/replication`, which holds the archive's [mark](crate::archive::mark). With it an
    /// archive whose disk is not mounted is noticed. Default: none.
    pub local_replication: Option<PathBuf>,
    /// The trigger file. Default: `trigger` in the data directory.
    pub trigger: PathBuf,
    /// Other nodes that need the archive's segments, such as a DR node. Each is registered as a
    /// [`Consumer`](crate::archive::Consumer), and what it and other registered ones need is kept. Default: `None`,
    /// with which nothing is removed from the archive. If it is set, and may be empty, other segments before the
    /// restart point are removed after a restore.
    pub consumers: Option<Vec<NodeName>>,
    /// How many segments before the restored one are kept for a consumer at most. Default: no limit.
    pub max_backlog: Option<u64>,
    /// What is kept for point-in-time recovery. Default: nothing.
    pub retain: Keep,
    /// The archives of other nodes, from which files are fetched that this one lacks. Default: none.
    pub other_archives: Vec<Arc<dyn OtherArchive>>,
    /// How many segments to keep if the server passes no restart point. Default: 0, which keeps all.
    pub keep: u32,
    /// In warm mode: whether to stop the server when a newer timeline has arrived, because a supervisor
    /// restarts it and it then follows that timeline. Default: no.
    pub restart_for_timeline: bool,
    /// How long one call into the archive may take while recovery is to end; then the archive is treated as
    /// empty for the rest of the failover. Default: 30 s.
    pub time_limit: Duration,
    /// In standby mode: how long to wait before the answer "not yet". Default: 60 s.
    pub wait_limit: Duration,
}

/// Why a request could not be answered. The server must stop: exit above 125.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The data directory does not show to which cluster it belongs.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// In the process that asks the archive: its parent is gone.
    #[error(transparent)]
    Parent(#[from] io::Error),
}

/// In a failover whose archive did not answer once, it is asked with this limit.
const ONCE_UNAVAILABLE: Duration = Duration::from_millis(200);
/// The longest wait where a promotion can be missed. The servers concerned sleep for the rest of 5 s between
/// two requests, and would find nothing in the archive meanwhile.
const MISSED_PROMOTION: Duration = Duration::from_secs(6);
/// Between two looks at a trigger file that may be incomplete.
const SETTLING: Duration = Duration::from_millis(10);
/// The postmaster passes a promotion request on to the startup process, which waits for our answer; after
/// this time the startup process finds it together with the answer.
const HANDED_ON: Duration = Duration::from_millis(50);

impl StandbyRestore {
    /// A restore with the defaults, which remove nothing from the archive.
    #[must_use]
    pub fn new(
        request: RestoreRequest,
        data_directory: impl Into<PathBuf>,
        archive: impl Into<PathBuf>,
    ) -> StandbyRestore {
        let data_directory = data_directory.into();
        StandbyRestore {
            request,
            trigger: data_directory.join("trigger"),
            data_directory,
            archive: archive.into(),
            local_replication: None,
            consumers: None,
            max_backlog: None,
            retain: Keep::default(),
            other_archives: Vec::new(),
            keep: 0,
            restart_for_timeline: false,
            time_limit: Duration::from_secs(30),
            wait_limit: Duration::from_secs(60),
        }
    }

    /// Restores the file, or finds that it does not exist. Does not return in the child process that asks
    /// the archive. If no child process can be started, this one asks; a hung archive then delays it.
    ///
    /// # Errors
    /// If the data directory does not show to which cluster it belongs.
    pub fn run(&self) -> Result<Outcome, RestoreError> {
        if let Some(parent) = ToParent::of_this_process()? {
            self.run_as_child(parent);
        }
        if self.request.restart_point == RestartPoint::Unreadable {
            log::warn!(
                "the restart point is not a segment name; nothing is removed from the archive"
            );
        }
        let mut memory = RecoveryMemory::of(&self.data_directory);
        let mut orders = self.orders()?;
        let mode = self.server_mode(&mut memory);
        orders.look(&NoEvents);
        if orders.is_triggered() {
            self.promote(mode, &mut memory);
        } else if memory.promotion_requested() {
            memory.note_promotion_requested(false);
        }
        let outcome = self.ask(mode, &mut orders, &mut memory)?;
        self.remember(&outcome, &mut orders, &mut memory);
        // The child may have seen that an empty trigger file was closed; here it may look incomplete.
        while outcome == Outcome::GaveUp(GiveUp::EndWhenAbsent)
            && orders.look(&NoEvents) == Order::Unsettled
        {
            thread::sleep(SETTLING);
        }
        orders.look(&NoEvents);
        if orders.is_triggered() && matches!(outcome, Outcome::Restored | Outcome::GaveUp(_)) {
            if matches!(outcome, Outcome::GaveUp(_)) && self.promote_file().exists() {
                // The server has not obeyed yet.
                memory.note_promotion_requested(false);
            }
            self.promote(mode, &mut memory);
        }
        Ok(outcome)
    }

    fn remember(&self, outcome: &Outcome, orders: &mut StandbyOrders, memory: &mut RecoveryMemory) {
        let name = self.request.name;
        match outcome {
            Outcome::Restored => {
                let ending = memory.archive_unavailable() && orders.look(&NoEvents) != Order::Wait;
                memory.note_restored(&self.archive, ending, name);
            }
            Outcome::GaveUp(GiveUp::ArchiveUnavailable) => memory.note_archive_unavailable(),
            Outcome::GaveUp(GiveUp::EndWhenAbsent) => {
                // History files are requested as well, and are often absent.
                if let WalFileName::Segment(segment) = name {
                    memory.note_ended_before(segment);
                }
            }
            Outcome::GaveUp(GiveUp::EndNow) => {
                if let Some(segment) = name.segment() {
                    remember_refused(orders, segment);
                }
            }
            _ => {}
        }
    }

    fn orders(&self) -> Result<StandbyOrders, IdentityError> {
        let data_directory = &self.data_directory;
        let cluster = identity(data_directory)?;
        let needed_up_to = cluster.and_then(|cluster| last_place_needed(data_directory, &cluster));
        let segment = self.request.name.segment().map(|segment| segment.place);
        Ok(StandbyOrders::new(data_directory, &self.trigger, segment, needed_up_to))
    }

    /// How the server takes the answer "no such file". This is read from its data directory, since another
    /// configuration file could be out of date. If the data directory cannot be read, warm mode is assumed,
    /// where a wrong "not yet" would end recovery.
    ///
    /// The files must have said standby mode at the server's first request too. By then the server has just
    /// read them, and it ignores later changes.
    fn server_mode(&self, memory: &mut RecoveryMemory) -> ServerMode {
        let settings = recovery_settings(&self.data_directory);
        if let (Ok(settings), None) = (&settings, memory.mode()) {
            memory.note_mode(settings.mode);
        }
        let was_warm = memory.mode() == Some(RecoveryMode::Warm);
        match settings {
            Ok(settings) if settings.mode == RecoveryMode::Standby && !was_warm => {
                ServerMode::Standby {
                    wait_limit: match settings.streams {
                        // Streaming is faster than the archive, and begins when the archive has nothing.
                        true => Duration::ZERO,
                        false if self.starts_with_own_wal() => Duration::ZERO,
                        // A server that obeys `promote` has deleted that file and still asks.
                        false if memory.archive_unavailable() => {
                            self.wait_limit.min(ONCE_UNAVAILABLE)
                        }
                        false if self.promotion_may_be_missed() => {
                            self.wait_limit.min(MISSED_PROMOTION)
                        }
                        false => self.wait_limit,
                    },
                    follows_latest: settings.follows_latest,
                }
            }
            _ => ServerMode::Warm { restart_for_timeline: self.restart_for_timeline },
        }
    }

    /// Whether the segment of the last checkpoint is requested by a server that was shut down as a primary and now
    /// starts as a standby. It has that checkpoint in its own WAL directory, where it looks after the archive.
    fn starts_with_own_wal(&self) -> bool {
        let Some(name) = self.request.name.segment() else { return false };
        let control = control_file(&self.data_directory).ok().flatten();
        control.is_some_and(|control| {
            let own = control.layout().containing(control.timeline, control.checkpoint);
            let has = |wal: &str| self.data_directory.join(wal).join(own.to_string()).exists();
            control.state == ClusterState::ShutDown
                && name.place == own.place
                && (has("pg_wal") || has("pg_xlog"))
        })
    }

    /// Before 9.3 the file `promote` exists for a moment only; between two calls it goes unnoticed.
    fn promotion_may_be_missed(&self) -> bool {
        let major = major_version(&self.data_directory).ok().flatten();
        major.is_some_and(|major| !major.keeps_promote_file())
    }

    fn promote_file(&self) -> PathBuf {
        self.data_directory.join(PROMOTE_FILES[0])
    }

    /// In standby mode a trigger file alone does not end recovery: the server must be asked, once.
    fn promote(&self, mode: ServerMode, memory: &mut RecoveryMemory) {
        if memory.promotion_requested() || !matches!(mode, ServerMode::Standby { .. }) {
            return;
        }
        let major = major_version(&self.data_directory).ok().flatten();
        if major.is_some_and(|major| !major.has_standby_mode_promotion()) {
            log::warn!(
                "this server version in standby mode can be promoted only by the trigger_file in its recovery.conf"
            );
            return;
        }
        match request_promotion(&self.data_directory) {
            Ok(()) => {
                memory.note_promotion_requested(true);
                thread::sleep(HANDED_ON);
            }
            Err(e) => log::error!("could not ask the server to promote: {e}"),
        }
    }
}

/// The server asks again: for this segment, which stays refused, and for the last one before it, which it
/// must get (8.2 to 9.1 stop with PANIC otherwise). The trigger file records which is which.
fn remember_refused(orders: &mut StandbyOrders, segment: SegmentName) {
    let trigger = orders.trigger();
    if let TriggerLook::Complete(Trigger::Fast) = trigger.look(Writing::Closed)
        && let Err(e) = trigger.remember(segment)
    {
        log::error!("{e}; the last segment may be refused when the server requests it again");
    }
}
