use std::time::Duration;

use super::feed::Feed;
use super::progress::{Progress, Signals, Wait, wait};
use super::{BaseCopy, CopyError};
use crate::base_copy::{CopyMessage, Part, Survey, Target};
use crate::limits::Every;
use crate::server::Canceller;
use crate::ship::carrier::NodeTransport;
use crate::ship::wire::{Frame, Message, Purpose, WireError};
use crate::ship::{FarCommand, Link, ShipError};
use crate::wal::SegmentName;

/// How often the far end is told that the copy continues; well below its time limit.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The connection to receiveBaseCopy on the other node. While something else takes time, it must be kept
/// alive, and the caller be told.
pub(super) struct Conversation<'a> {
    connection: Connection<'a>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

struct Connection<'a> {
    link: Link,
    keep_alive: Every,
    signals: &'a mut dyn Signals,
    /// Ships the WAL of the copy meanwhile.
    feed: Option<Feed>,
}

impl<'a> Conversation<'a> {
    pub(super) fn open(
        copy: &BaseCopy,
        progress: &'a mut dyn FnMut(Progress<'_>),
        signals: &'a mut dyn Signals,
    ) -> Result<Conversation<'a>, CopyError> {
        let transport = NodeTransport::by_ssh(&copy.reach, FarCommand::ReceiveBaseCopy)?;
        let link = Link::open(&transport, copy.local_node.hello(Purpose::BaseCopy)?)?;
        let connection =
            Connection { link, keep_alive: Every::new(KEEP_ALIVE), signals, feed: None };
        Ok(Conversation { connection, progress })
    }

    /// From now on the WAL of the copy is shipped by this.
    pub(super) fn feed(&mut self, feed: Feed) {
        self.connection.feed = Some(feed);
    }

    /// The backup begins in this segment.
    pub(super) fn backup_begins(&mut self, first: SegmentName) -> Result<(), ShipError> {
        self.connection.feed.as_mut().map_or(Ok(()), |feed| feed.begin(first))
    }

    /// Ships those of these WAL files that this node has, unless the server's archive_command ships them.
    /// The outer error is that of the copy.
    pub(super) fn ship(&mut self, names: &[String]) -> Result<Result<(), ShipError>, CopyError> {
        let Some(feed) = self.connection.feed.take() else { return Ok(Ok(())) };
        let names: Vec<_> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let shipped = self.during(Wait::Shipping, || feed.ship(&names))?;
        self.connection.feed = Some(feed);
        Ok(shipped)
    }

    /// Tells the caller.
    pub(super) fn report(&mut self, progress: Progress<'_>) {
        (self.progress)(progress);
    }

    pub(super) fn survey(&mut self, survey: Survey) -> Result<Target, CopyError> {
        match self.ask(&CopyMessage::Survey(survey))? {
            CopyMessage::Target(target) => Ok(target),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Afterwards no server can be started in the target, and its marker contains this token.
    pub(super) fn begin(&mut self, token: &str) -> Result<(), CopyError> {
        match self.ask(&CopyMessage::Begin(token.to_owned()))? {
            CopyMessage::Begun => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(super) fn send_part(&mut self, part: Part, bytes: &[u8]) -> Result<(), CopyError> {
        const PIECE: usize = 256 * 1024;
        bytes
            .chunks(PIECE)
            .try_for_each(|piece| self.send(&CopyMessage::Part(part, piece.to_vec())))
    }

    /// Afterwards the copy is on disk, and a server can be started in it. Returns what the other node lacks
    /// for a failover.
    pub(super) fn finish(&mut self) -> Result<Vec<String>, CopyError> {
        match self.ask(&CopyMessage::Finish)? {
            CopyMessage::Finished(lacks) => Ok(lacks),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Which of these WAL files are not in the other node's archive.
    pub(super) fn missing(&mut self, names: &[String]) -> Result<Vec<String>, CopyError> {
        let mut missing = Vec::new();
        for some in names.chunks(CopyMessage::NAMES) {
            match self.ask(&CopyMessage::Holds(some.to_vec()))? {
                CopyMessage::Missing(names) => missing.extend(names),
                other => return Err(self.unexpected(&other)),
            }
        }
        Ok(missing)
    }

    /// From now on a signal makes every wait fail, so that the backup can be ended.
    pub(super) fn hold_signals(&mut self) -> Result<(), CopyError> {
        self.connection.signals.hold().map_err(CopyError::Signals)
    }

    /// Fails if a signal was received while signals are held.
    pub(super) fn check_signals(&self) -> Result<(), CopyError> {
        self.connection.check_signals()
    }

    pub(super) fn release_signals(&mut self) {
        self.connection.signals.release();
    }

    /// Tells the other node that the copy continues, if that was not sent recently.
    pub(super) fn keep_alive(&mut self) -> Result<(), CopyError> {
        self.connection.keep_alive()
    }

    /// Does work that takes time.
    pub(super) fn during<T: Send>(
        &mut self,
        waiting_for: Wait,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, CopyError> {
        let connection = &mut self.connection;
        wait(waiting_for, self.progress, &mut || connection.keep_alive(), work)
    }

    /// Does work that waits for a statement, and cancels the statement if the copy can't continue.
    pub(super) fn during_statement<T: Send>(
        &mut self,
        waiting_for: Wait,
        canceller: Canceller,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, CopyError> {
        let connection = &mut self.connection;
        let mut tick = || connection.keep_alive().inspect_err(|_| canceller.cancel());
        wait(waiting_for, self.progress, &mut tick, work)
    }

    pub(super) fn close(self) {
        self.connection.link.close();
    }

    fn send(&mut self, message: &CopyMessage) -> Result<(), CopyError> {
        self.connection.keep_alive.reset();
        Ok(self.connection.link.send_frame(message.kind(), &[&message.payload()])?)
    }

    fn ask(&mut self, message: &CopyMessage) -> Result<CopyMessage, CopyError> {
        self.send(message)?;
        let frame = self.connection.link.receive()?;
        self.parse(&frame)
    }

    fn parse(&mut self, frame: &Frame) -> Result<CopyMessage, CopyError> {
        let link = &mut self.connection.link;
        if let Ok(Message::Refused(refusal)) = Message::parse(frame) {
            return Err(link.refused(refusal).into());
        }
        CopyMessage::parse(frame).map_err(|error| link.failed(error).into())
    }

    fn unexpected(&mut self, message: &CopyMessage) -> CopyError {
        self.connection.link.failed(WireError::Unexpected(message.kind())).into()
    }
}

impl Connection<'_> {
    fn check_signals(&self) -> Result<(), CopyError> {
        self.signals.received().map_or(Ok(()), |signal| Err(CopyError::Interrupted(signal)))
    }

    fn keep_alive(&mut self) -> Result<(), CopyError> {
        self.check_signals()?;
        if self.keep_alive.is_due() {
            self.link.send(&Message::Working)?;
        }
        if let Some(feed) = &mut self.feed {
            feed.ship_next();
        }
        Ok(())
    }
}
