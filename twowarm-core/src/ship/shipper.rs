use std::vec;

use super::check::{Checks, Defect, check};
use super::fingerprint::Fingerprint;
use super::session::{Session, is_refusal};
use super::shutdown_budget::Unfinished;
use super::stoppable::Stoppable;
use super::transport::Transport;
use super::wire::{Hello, Purpose, Stored, Welcome};
use super::{Link, LocalNode, SendError, SendOptions, Sender, ShipError, ShutdownBudget, WalFile};
use crate::archive::Binding;
use crate::identifiers::NodeName;
use crate::wal::WalFileName;

/// How many files are on their way before the first one is acknowledged.
pub(super) const IN_FLIGHT: usize = 4;

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
    /// If the files are relayed to that node: the standby that is down. That node keeps the segments until the
    /// standby has fetched them.
    pub relay_for: Option<NodeName>,
    /// If files of an archive are passed on: the sender that the archive belongs to.
    pub origin: Option<Binding>,
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
            relay_for: None,
            origin: None,
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
        let names = files.iter().map(|file| file.name).collect();
        let work = move |shipper: &dyn ShipQueue, progress: &mut dyn FnMut(ShipProgress)| {
            shipper.ship_queue(&mut Listed { files: files.into_iter(), progress })
        };
        self.within_budget(names, work, progress)
    }

    /// Does the work of shipping the files with these names; while the server is shutting down, within its
    /// budget.
    pub(super) fn within_budget(
        &self,
        mut names: Vec<WalFileName>,
        work: impl FnOnce(&dyn ShipQueue, &mut dyn FnMut(ShipProgress)) -> Result<(), ShipError>
        + Send
        + 'static,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let Some(budget) = &self.shutdown else { return work(self, progress) };
        let shipper = self.with_transport(self.transport.clone());
        let result = budget.spend(
            move |stop, progress| {
                let stoppable = Stoppable::new(shipper.transport.clone(), stop);
                work(&shipper.with_transport(stoppable), progress)
            },
            &mut |step| {
                if let ShipProgress::Shipped { file, .. } = &step {
                    let shipped = names.iter().position(|name| *name == file.name);
                    shipped.map(|index| names.remove(index));
                }
                progress(step);
            },
        );
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

impl<T: Transport + Clone> Shipper<T> {
    /// Text that differs if files would get elsewhere, or in another way.
    pub(super) fn destination(&self) -> String {
        let shipper = self.with_transport(self.transport.clone());
        format!("{} {shipper:?}", env!("CARGO_PKG_VERSION"))
    }
}

impl<T> Shipper<T> {
    /// The same over another transport, without a limit for shutdowns.
    pub(super) fn with_transport<U>(&self, transport: U) -> Shipper<U> {
        Shipper {
            node: self.node.clone(),
            transport,
            ship_damaged: self.ship_damaged,
            verify_records: self.verify_records,
            send: self.send.clone(),
            shutdown: None,
            relay_for: self.relay_for.clone(),
            origin: self.origin.clone(),
        }
    }

    pub(super) fn hello(&self) -> Result<Hello, ShipError> {
        let hello = self.node.hello_for(self.origin.as_ref())?;
        Ok(Hello { relay_for: self.relay_for.clone(), ..hello })
    }

    fn checks(&self) -> Checks {
        Checks { records: self.verify_records, ship_damaged: self.ship_damaged }
    }
}

/// What a [`Queue`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// A file to be sent.
    File(WalFile),
    /// No file now.
    Nothing,
    /// No file any more.
    End,
}

/// A file that is durable in the other node's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) file: WalFile,
    pub(super) stored: Stored,
    pub(super) defect: Option<Defect>,
    /// What was sent.
    pub(super) content: Fingerprint,
}

/// The files to be sent over one connection.
pub(super) trait Queue {
    /// The next file. With `wait` it waits a moment for one, less than a time limit.
    fn next(&mut self, wait: bool) -> Next;

    /// How many files may be in flight now.
    fn at_most(&mut self) -> usize {
        IN_FLIGHT
    }

    /// The other node has accepted the connection.
    fn connected(&mut self, welcome: &Welcome);

    /// The connection can be used. Returns the first file, if it is still to be sent.
    fn opened(
        &mut self,
        _sender: &mut Sender,
        first: WalFile,
    ) -> Result<Option<WalFile>, SendError> {
        Ok(Some(first))
    }

    /// A file is durable.
    fn acknowledged(&mut self, file: Acknowledged);

    /// No file is in flight: the connection can be measured.
    fn pause(&mut self, _sender: &mut Sender) -> Result<(), SendError> {
        Ok(())
    }
}

/// The files of one call, in order.
pub(super) struct Listed<'a> {
    pub(super) files: vec::IntoIter<WalFile>,
    pub(super) progress: &'a mut dyn FnMut(ShipProgress),
}

impl Queue for Listed<'_> {
    fn next(&mut self, _wait: bool) -> Next {
        self.files.next().map_or(Next::End, Next::File)
    }

    fn connected(&mut self, welcome: &Welcome) {
        (self.progress)(ShipProgress::Connected(welcome.clone()));
    }

    fn acknowledged(&mut self, Acknowledged { file, stored, defect, .. }: Acknowledged) {
        (self.progress)(ShipProgress::Shipped { file, stored, defect });
    }
}

/// A shipper with any transport.
pub(super) trait ShipQueue {
    /// Sends files over one connection until the queue ends. After an error, files that were sent before are
    /// still waited for, unless the connection has failed.
    fn ship_queue(&self, queue: &mut dyn Queue) -> Result<(), ShipError>;

    /// Checks a file as it is checked before it is sent.
    fn check(&self, file: &WalFile) -> Result<Option<Defect>, ShipError>;
}

impl<T: Transport> ShipQueue for Shipper<T> {
    fn ship_queue(&self, queue: &mut dyn Queue) -> Result<(), ShipError> {
        let first = loop {
            match queue.next(true) {
                Next::File(file) => break file,
                Next::Nothing => {}
                Next::End => return Ok(()),
            }
        };
        let promoted_to = first.is_history().then(|| first.name.timeline());
        let hello = Hello { promoted_to, ..self.hello()? };
        let checks = self.checks();
        let defect = check(&first, &hello, checks)?;
        let link = Link::open(&self.transport, hello.clone())?;
        queue.connected(link.welcome());
        let mut sender = Sender::with_options(link, self.send.clone());
        let first = queue.opened(&mut sender, first)?;
        let mut session = Session::new(sender, hello, checks, queue);
        let mut sent = first.map_or(Ok(()), |first| session.send(first, defect));
        while sent.is_ok() {
            match session.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => sent = Err(e),
            }
        }
        match sent {
            Err(ShipError::Link(error)) if !is_refusal(&error) => return Err(error.into()),
            _ => {}
        }
        let acknowledged = session.finish();
        sent.and(acknowledged)
    }

    fn check(&self, file: &WalFile) -> Result<Option<Defect>, ShipError> {
        check(file, &self.node.hello(Purpose::ShipWal)?, self.checks())
    }
}
