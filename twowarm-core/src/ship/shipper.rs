use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::check::{Checks, Defect, check};
use super::shutdown_budget::Unfinished;
use super::stoppable::Stoppable;
use super::transport::Transport;
use super::wire::{Purpose, Stored, Welcome};
use super::{
    Link, LinkError, LocalNode, RequestId, SendOptions, Sender, ShipError, ShutdownBudget, WalFile,
};
use crate::wal::WalFileName;

/// How many files are on their way before the first one is acknowledged.
const IN_FLIGHT: usize = 4;

/// Ships WAL files to another node's archive.
///
/// ```no_run
/// use twowarm_core::reach::Reach;
/// use twowarm_core::ship::ssh::SshTransport;
/// use twowarm_core::ship::{FarCommand, LocalNode, Shipper, WalFile};
///
/// let node = LocalNode {
///     data_directory: "/srv/postgres/data".into(),
///     node_id: "db1".parse()?,
///     label: "db1".into(),
/// };
/// let standby = Reach::new("db2".parse()?, "/srv/postgres".into());
/// let transport = SshTransport::new(&standby, FarCommand::ReceiveWalFile)?;
/// let files = WalFile::list("/srv/backlog".as_ref())?;
/// Shipper::new(node, transport).ship(&files, &mut |progress| println!("{progress:?}"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Shipper<T> {
    /// The node on this side.
    pub node: LocalNode,
    /// Starts receiveWALFile on the other node.
    pub transport: T,
    /// Whether a damaged segment is shipped with a warning instead of being refused. A standby stops at it.
    pub ship_damaged: bool,
    /// Whether the records of a segment are checked, not only the header of its first page.
    pub verify_records: bool,
    /// How files are sent.
    pub send: SendOptions,
    /// The limit while the server that has called this process is shutting down.
    pub shutdown: Option<ShutdownBudget>,
}

/// A step of shipping.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShipProgress {
    /// The other node has accepted the connection.
    Connected(Welcome),
    /// A file is durable in the other node's archive.
    Shipped {
        /// The file.
        file: WalFile,
        /// Whether it is new there.
        stored: Stored,
        /// A defect with which it was shipped.
        defect: Option<Defect>,
    },
}

impl<T: Transport + Clone + Send + 'static> Shipper<T> {
    /// Ships undamaged files only, without a limit for shutdowns.
    #[must_use]
    pub fn new(node: LocalNode, transport: T) -> Shipper<T> {
        Shipper {
            node,
            transport,
            ship_damaged: false,
            verify_records: true,
            send: SendOptions::default(),
            shutdown: None,
        }
    }

    /// Ships files over one connection, timeline history files first, the others in the given order. When
    /// it succeeds, all are durable in the other node's archive. Each file is checked before it is sent.
    ///
    /// # Errors
    /// At the first file that is damaged, does not match its name, or is refused by the other node; files that
    /// were sent before are still waited for and reported. Also if the other node can't be reached, or the
    /// server is shutting down and its time is used up.
    pub fn ship(
        &self,
        files: &[WalFile],
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let mut files = files.to_vec();
        files.sort_by_key(|file| !file.is_history());
        let checks = Checks { records: self.verify_records, ship_damaged: self.ship_damaged };
        let how = (checks, self.send.clone());
        let Some(budget) = &self.shutdown else {
            return ship(&self.node, &self.transport, how, &files, progress);
        };
        let mut names: Vec<WalFileName> = files.iter().map(|file| file.name).collect();
        let (node, transport) = (self.node.clone(), self.transport.clone());
        let work = move |stop: Arc<AtomicBool>, progress: &mut dyn FnMut(ShipProgress)| {
            ship(&node, &Stoppable::new(transport, stop), how, &files, progress)
        };
        let result = budget.spend(work, &mut |step| {
            if let ShipProgress::Shipped { file, .. } = &step {
                let shipped = names.iter().position(|name| *name == file.name);
                shipped.map(|index| names.remove(index));
            }
            progress(step);
        });
        match (result, names.first()) {
            (Ok(result), _) => result,
            (Err(Unfinished::Thread(e)), _) => Err(ShipError::Thread(e)),
            (Err(Unfinished::OutOfTime(why)), Some(&name)) => {
                let node = self.transport.node().to_owned();
                Err(ShipError::ShuttingDown { name, node, why })
            }
            // All are acknowledged; only the end of the connection is missing.
            (Err(Unfinished::OutOfTime(_)), None) => Ok(()),
        }
    }
}

fn ship(
    node: &LocalNode,
    transport: &dyn Transport,
    (checks, options): (Checks, SendOptions),
    files: &[WalFile],
    progress: &mut dyn FnMut(ShipProgress),
) -> Result<(), ShipError> {
    let Some((first, rest)) = files.split_first() else { return Ok(()) };
    let hello = node.hello(Purpose::ShipWal)?;
    let defect = check(first, &hello, checks)?;
    let link = Link::open(transport, hello.clone())?;
    progress(ShipProgress::Connected(link.welcome().clone()));
    let sender = Sender::with_options(link, options);
    let mut session = Session { sender, in_flight: VecDeque::new(), progress };
    let mut sent = session.send(first, defect);
    for file in rest {
        sent = sent.and_then(|()| session.send(file, check(file, &hello, checks)?));
    }
    match sent {
        Err(ShipError::Link(error)) if !is_refusal(&error) => return Err(error.into()),
        _ => {}
    }
    let acknowledged = session.finish();
    sent.and(acknowledged)
}

/// A refusal, after which the connection can be used further.
fn is_refusal(error: &LinkError) -> bool {
    matches!(error, LinkError::Refused { refusal, .. } if refusal.id != super::wire::SESSION)
}

struct Session<'a> {
    sender: Sender,
    /// Sent and not yet acknowledged, oldest first.
    in_flight: VecDeque<(RequestId, &'a WalFile, Option<Defect>)>,
    progress: &'a mut dyn FnMut(ShipProgress),
}

impl<'a> Session<'a> {
    fn send(&mut self, file: &'a WalFile, defect: Option<Defect>) -> Result<(), ShipError> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.receive_answer()?;
        }
        let request = self.sender.start(file.name, &file.path)?;
        self.in_flight.push_back((request, file, defect));
        Ok(())
    }

    fn receive_answer(&mut self) -> Result<(), ShipError> {
        let (answered, result) = self.sender.next_answer()?;
        let at = self.in_flight.iter().position(|(request, ..)| *request == answered);
        let Some((_, file, defect)) = at.and_then(|at| self.in_flight.remove(at)) else {
            return Ok(());
        };
        let stored = result?;
        (self.progress)(ShipProgress::Shipped { file: file.clone(), stored, defect });
        Ok(())
    }

    /// Waits for all answers; the first refusal is the result.
    fn finish(mut self) -> Result<(), ShipError> {
        let mut result = Ok(());
        while !self.in_flight.is_empty() {
            match self.receive_answer() {
                Err(ShipError::Link(error)) if !is_refusal(&error) => return Err(error.into()),
                answer => result = result.and(answer),
            }
        }
        self.sender.leave();
        result
    }
}
