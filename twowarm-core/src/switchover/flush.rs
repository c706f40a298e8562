use std::convert::Infallible;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::admission::{self, Closed};
use super::destination::{Connected, Nodes, OwnWal};
use super::last_segment::{clean_control, end_of_wal, not_archived, note_archived};
use super::{Destination, FlushError, FlushFailure, FlushStep, ServerLeft, archived, shutdown};
use crate::base_copy::check_settings;
use crate::data_directory::{
    Role, check_owner, lock_directory, major_version, role_of, running_server,
};
use crate::limits::{Every, with_ticks};
use crate::receipt::{Receipt, ReceiptId};
use crate::rsync::{Event, Remote, Transfer};
use crate::server::{Login, Session, keep_sessions_out_of_stopped};
use crate::ship::{LocalNode, NodeError};
use crate::wal::{Expected, WalFileName};

const POLL: Duration = Duration::from_millis(20);
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Sessions that were terminated are waited for no longer: the shutdown ends them too.
const TERMINATION: Duration = Duration::from_secs(5);

/// A checkpoint before the shutdown pays if sessions were waited for longer than this.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(5);

/// Stops a primary so that its standby has all of its WAL, and proves that.
///
/// It can be repeated after any failure or interruption: a cluster that was shut down cleanly is only delivered.
#[derive(Debug)]
pub struct FlushPrimary {
    /// The primary.
    pub node: LocalNode,
    /// The node's `local/replication`, for its copy of the receipt.
    pub local_replication: PathBuf,
    /// How to connect to its server.
    pub login: Login,
    /// The file without which archiveWALFile ships nothing.
    pub archiving_active: PathBuf,
    /// The standby, and the DR node if there is one.
    pub destinations: Vec<Destination>,
    /// How long sessions may take to end before they are terminated.
    pub wait: Duration,
    /// Whether a server that does not stop is stopped without a checkpoint.
    pub force: bool,
    /// Whether to continue without the DR node if it can't be reached. It gets the rest of the WAL by relaying.
    pub without_dr: bool,
    /// How long archiving may make no progress.
    pub archive_limit: Duration,
    /// How long a shutdown may take.
    pub stop_limit: Duration,
    /// Where the server's log files are saved, if they are.
    pub save_logs: Option<SaveLogs>,
}

/// Where the server's log files are copied to before the server is stopped.
#[derive(Debug, Clone)]
pub struct SaveLogs {
    /// The node.
    pub remote: Remote,
    /// The directory there; its parent must exist.
    pub directory: PathBuf,
}

type Report<'a> = &'a mut dyn FnMut(FlushStep<'_>);

impl FlushPrimary {
    /// Flushes the primary. Sessions are let in again at every failure before the server is stopped.
    ///
    /// # Errors
    /// If the node is not a primary that archives, if another node can't be reached, if WAL is not archived, if the
    /// server does not stop, or if one of the nodes does not hold all of its WAL. Also says in which state the server was left.
    pub fn run(&self, report: Report<'_>) -> Result<Receipt, FlushFailure> {
        let mut left = ServerLeft::Unchanged;
        let flushed = self.flush(&mut left, report);
        flushed.map_err(|error| FlushFailure { error: Box::new(error), left })
    }

    /// Checks what can be checked before anything is changed.
    ///
    /// # Errors
    /// As [`run`](FlushPrimary::run), as far as the state of the nodes now shows it.
    pub fn check(&self, report: Report<'_>) -> Result<(), FlushError> {
        let is_running = self.is_running()?;
        drop(lock_directory(&self.node.data_directory)?);
        self.connect(is_running, report)?;
        if is_running {
            self.session()?;
        }
        Ok(())
    }

    /// The refusal on a standby.
    fn is_standby(&self) -> FlushError {
        FlushError::Standby {
            data_directory: self.node.data_directory.clone(),
            primary: self
                .destinations
                .first()
                .map(Destination::node)
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// Whether the server of the primary is running.
    fn is_running(&self) -> Result<bool, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        if role_of(pgdata)? == Role::Standby {
            return Err(self.is_standby());
        }
        check_owner(pgdata)?;
        Ok(running_server(pgdata)?.is_some())
    }

    fn connect(&self, is_running: bool, report: Report<'_>) -> Result<Nodes<'_>, FlushError> {
        let mut nodes = Nodes::default();
        for destination in &self.destinations {
            match Connected::open(destination, report) {
                Err(FlushError::DrNode { node, error }) if self.without_dr => {
                    // After more WAL the receipt of an earlier flush must be void before there is a new one.
                    if is_running && self.earlier_receipt()?.is_some() {
                        return Err(FlushError::EarlierReceipt { node, error });
                    }
                    report(FlushStep::WithoutDrNode { node: &node, error: &error });
                    nodes.left_out = Some((node, error));
                }
                opened => nodes.connected.push(opened?),
            }
        }
        Ok(nodes)
    }

    /// A session on the server, which must be a primary that ships its WAL.
    fn session(&self) -> Result<Session, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        let mut session = admission::own_session(&self.login, pgdata, &self.local_replication)?;
        if session.in_recovery()? {
            return Err(self.is_standby());
        }
        if !self.archiving_active.exists() {
            return Err(FlushError::NotActive(self.archiving_active.clone()));
        }
        check_settings(&mut session, pgdata).map_err(|e| FlushError::Archiving(Box::new(e)))?;
        Ok(session)
    }

    fn flush(&self, left: &mut ServerLeft, report: Report<'_>) -> Result<Receipt, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        let is_running = self.is_running()?;
        // Another flush, or a base copy from here, which this one would end.
        let _lock = lock_directory(pgdata)?;
        if !is_running {
            *left = ServerLeft::Stopped;
        }
        let mut nodes = self.connect(is_running, report)?;
        if is_running {
            self.void_earlier(&mut nodes.connected)?;
            let closed = self.archive_all(&mut nodes.connected, report)?;
            *left = ServerLeft::Stopping;
            let mut keep_open = || nodes.connected.iter_mut().for_each(Connected::keep_open);
            let after =
                shutdown::stop(pgdata, self.stop_limit, self.force, report, &mut keep_open)?;
            *left = ServerLeft::Stopped;
            report(FlushStep::Stopped(after));
            closed.keep();
        } else {
            keep_sessions_out_of_stopped(pgdata, &self.local_replication)?;
            report(FlushStep::AlreadyStopped);
        }
        self.deliver(&mut nodes, report)
    }

    /// Lets no session in, ends those that are there, and waits until all WAL is archived.
    fn archive_all(
        &self,
        nodes: &mut [Connected<'_>],
        report: Report<'_>,
    ) -> Result<Closed<'_>, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        let mut session = self.session()?;
        self.save_logs(&mut session, report);
        // Sessions work on meanwhile, so what remains afterwards is short.
        checkpoint(&mut session, nodes, report)?;
        self.archive(&mut session, true, nodes, report)?;
        let closed = admission::close(&mut session, &self.login, pgdata, &self.local_replication)?;
        report(FlushStep::Closed);
        if self.end_sessions(&mut session, nodes, report)? > CHECKPOINT_AGAIN {
            checkpoint(&mut session, nodes, report)?;
        }
        if let Some(terminate) = session.major().terminate_other_sessions() {
            let count = session.rows(&terminate)?.len();
            if count > 0 {
                report(FlushStep::Terminated { count });
                let begun = Instant::now();
                while begun.elapsed() < TERMINATION && others(&mut session)? > 0 {
                    thread::sleep(POLL);
                }
            }
        }
        self.archive(&mut session, false, nodes, report)?;
        report(FlushStep::Archived);
        Ok(closed)
    }

    /// Waits until the other sessions have ended; returns how long, at most the limit.
    fn end_sessions(
        &self,
        session: &mut Session,
        nodes: &mut [Connected<'_>],
        report: Report<'_>,
    ) -> Result<Duration, FlushError> {
        let (begun, mut heartbeat) = (Instant::now(), Heartbeat::new());
        loop {
            let count = others(session)?;
            if count == 0 || begun.elapsed() >= self.wait {
                return Ok(begun.elapsed());
            }
            if heartbeat.is_due() {
                report(FlushStep::Sessions { count });
            }
            nodes.iter_mut().for_each(Connected::keep_open);
            thread::sleep(POLL);
        }
    }

    /// Switches to a new segment and waits until WAL is archived: all of it, or, while sessions write more,
    /// what there is now.
    fn archive(
        &self,
        session: &mut Session,
        is_first: bool,
        nodes: &mut [Connected<'_>],
        report: Report<'_>,
    ) -> Result<(), FlushError> {
        let pgdata = self.node.data_directory.as_path();
        session.value(session.major().switch_wal())?;
        let wal = pgdata.join(session.major().wal_directory());
        let is_segment = |name: &WalFileName| matches!(name, WalFileName::Segment(_));
        let last = match is_first {
            true => match archived::ready(&wal)?.into_iter().rfind(is_segment) {
                None => return Ok(()),
                last => last,
            },
            false => None,
        };
        // A single segment on its way is not worth a line.
        let mut heartbeat = Every::new(Duration::from_secs(1));
        let mut is_told = false;
        archived::wait(session, pgdata, last, self.archive_limit, &mut |left, first| {
            if heartbeat.is_due() {
                if !is_told {
                    heartbeat = Every::new(HEARTBEAT);
                    is_told = true;
                }
                report(FlushStep::Archiving { left, first });
            }
            nodes.iter_mut().for_each(Connected::keep_open);
        })
    }

    /// Failures are reported only: the log files are not needed for the switchover.
    fn save_logs(&self, session: &mut Session, report: Report<'_>) {
        let Some(SaveLogs { remote, directory }) = &self.save_logs else { return };
        let Ok(logs) = session.setting("log_directory") else { return };
        let from = self.node.data_directory.join(logs);
        report(FlushStep::SavingLogs);
        let options = ["--archive", "--checksum", "--compress"];
        let transfer =
            Transfer { remote, from: &from, to: directory, options: &options, rules: "" };
        let copied = transfer.run(&mut |_: Event<'_>| Ok::<(), Infallible>(()));
        if let Err(error) = copied {
            report(FlushStep::LogsNotSaved(error));
        }
    }

    /// Ships the end of the WAL and the receipt, and proves that they have arrived.
    fn deliver(&self, nodes: &mut Nodes<'_>, report: Report<'_>) -> Result<Receipt, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        let major = major_version(pgdata)?;
        let major = major.ok_or_else(|| NodeError::NoVersion(pgdata.join("PG_VERSION")))?;
        let wal = pgdata.join(major.wal_directory());
        let end = end_of_wal(pgdata, &wal)?;
        let new = Receipt {
            system_identifier: end.control.system_identifier,
            timeline: end.control.timeline,
            segment: end.segment,
            checkpoint: end.control.checkpoint,
            end: end.end,
            node_id: self.node.node_id.clone(),
            label: self.node.label.clone(),
            id: ReceiptId::random()?,
        };
        let receipt = self.receipt(new, nodes)?;
        report(FlushStep::End(&receipt));
        let not_archived = not_archived(&wal, end.segment)?;
        let tail = end.copy_in(&self.local_replication)?;
        let own = OwnWal { directory: &wal, expected: Expected::of(&end.control) };
        for node in &mut nodes.connected {
            node.deliver(&receipt, tail.path(), &not_archived, &own, report)?;
        }
        for file in &not_archived {
            note_archived(&wal, &file.name.to_string())?;
        }
        // It is not known whether a server that was started meanwhile has written more.
        if running_server(pgdata)?.is_some() || clean_control(pgdata)? != end.control {
            return Err(FlushError::StartedAgain);
        }
        Ok(receipt)
    }
}

fn others(session: &mut Session) -> Result<usize, FlushError> {
    let question = session.major().other_sessions();
    Ok(session.rows(&question)?.len())
}

/// Makes a checkpoint, which may take minutes.
fn checkpoint(
    session: &mut Session,
    nodes: &mut [Connected<'_>],
    report: Report<'_>,
) -> Result<(), FlushError> {
    let mut heartbeat = Heartbeat::new();
    let mut tick = || {
        if heartbeat.is_due() {
            report(FlushStep::Checkpoint);
        }
        nodes.iter_mut().for_each(Connected::keep_open);
        Ok::<(), Infallible>(())
    };
    let Ok(done) = with_ticks(Duration::from_secs(1), &mut tick, || {
        session.execute_without_limit("checkpoint")
    });
    Ok(done?)
}

/// Due at once, and then every [`HEARTBEAT`].
struct Heartbeat(Option<Every>);

impl Heartbeat {
    fn new() -> Heartbeat {
        Heartbeat(None)
    }

    fn is_due(&mut self) -> bool {
        match &mut self.0 {
            Some(every) => every.is_due(),
            none => {
                *none = Some(Every::new(HEARTBEAT));
                true
            }
        }
    }
}
