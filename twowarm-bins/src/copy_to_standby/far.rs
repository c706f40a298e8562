use std::time::{Duration, Instant};

use twowarm_core::base_copy::{CopyMessage, Part, Survey, Target};
use twowarm_core::identifiers::NodeName;
use twowarm_core::node::Install;
use twowarm_core::server::Canceller;
use twowarm_core::ship::ssh::SshTransport;
use twowarm_core::ship::wire::{Frame, Message, Purpose, WireError};
use twowarm_core::ship::{FarCommand, Link, Sender};

use super::error::CopyError;
use super::signals::HeldSignals;
use crate::patience::meanwhile;

/// How often the far end hears that we are still here.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// receiveBaseCopy on the other node.
pub(super) struct FarEnd {
    link: Link,
    last_word: Instant,
    signals: Option<HeldSignals>,
}

impl FarEnd {
    pub fn open(install: &Install, node: &NodeName) -> Result<FarEnd, CopyError> {
        let transport = SshTransport::new(&install.reach(node), FarCommand::ReceiveBaseCopy)?;
        let link = Link::open(&transport, install.local_node()?.hello(Purpose::BaseCopy)?)?;
        Ok(FarEnd { link, last_word: Instant::now(), signals: None })
    }

    pub fn survey(&mut self, survey: Survey) -> Result<Target, CopyError> {
        match self.ask(&CopyMessage::Survey(survey))? {
            CopyMessage::Target(target) => Ok(target),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Afterwards no server starts in the target, and its marker holds these digits.
    pub fn begin(&mut self, token: &str) -> Result<(), CopyError> {
        match self.ask(&CopyMessage::Begin(token.to_owned()))? {
            CopyMessage::Begun => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    pub fn send_part(&mut self, part: Part, bytes: &[u8]) -> Result<(), CopyError> {
        const PIECE: usize = 256 * 1024;
        bytes.chunks(PIECE).try_for_each(|piece| self.say(&CopyMessage::Part(part, piece.to_vec())))
    }

    /// Afterwards the copy is on disk, and a server can start in it. What it would lack after a failover.
    pub fn finish(&mut self) -> Result<Vec<String>, CopyError> {
        match self.ask(&CopyMessage::Finish)? {
            CopyMessage::Finished(lacks) => Ok(lacks),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Those of the segments that are not whole in the far archive.
    pub fn missing(&mut self, names: &[String]) -> Result<Vec<String>, CopyError> {
        let mut missing = Vec::new();
        for some in names.chunks(CopyMessage::NAMES) {
            match self.ask(&CopyMessage::Holds(some.to_vec()))? {
                CopyMessage::Missing(of_these) => missing.extend(of_these),
                other => return Err(self.unexpected(&other)),
            }
        }
        Ok(missing)
    }

    /// From now on a signal makes whatever waits here fail, so that there is time to end a backup that
    /// would outlive us.
    pub fn hold_signals(&mut self) -> Result<(), CopyError> {
        self.signals = Some(HeldSignals::hold().map_err(CopyError::Signals)?);
        Ok(())
    }

    /// Fails if a signal came that is held.
    pub fn check_signals(&self) -> Result<(), CopyError> {
        self.signals.as_ref().map_or(Ok(()), HeldSignals::check)
    }

    /// Signals end us at once again, and one that came does so now.
    pub fn release_signals(&mut self) {
        self.signals.take().into_iter().for_each(HeldSignals::release);
    }

    /// Says that we are at work, if that was not said lately.
    pub fn keep_alive(&mut self) -> Result<(), CopyError> {
        self.check_signals()?;
        if self.last_word.elapsed() >= KEEP_ALIVE {
            self.last_word = Instant::now();
            self.link.send(&Message::Working)?;
        }
        Ok(())
    }

    /// Keeps the connection alive while something else takes its time, and the user told.
    pub fn meanwhile<T: Send>(
        &mut self,
        waiting_for: &str,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, CopyError> {
        meanwhile(waiting_for, &mut || self.keep_alive(), work)
    }

    /// The same with a statement that is cancelled when we can't go on.
    pub fn meanwhile_asking<T: Send>(
        &mut self,
        waiting_for: &str,
        canceller: Canceller,
        statement: impl FnOnce() -> T + Send,
    ) -> Result<T, CopyError> {
        let mut tick = || self.keep_alive().inspect_err(|_| canceller.cancel());
        meanwhile(waiting_for, &mut tick, statement)
    }

    pub fn close(self) {
        self.link.close();
    }

    fn say(&mut self, message: &CopyMessage) -> Result<(), CopyError> {
        self.last_word = Instant::now();
        Ok(self.link.send_frame(message.kind(), &[&message.payload()])?)
    }

    fn ask(&mut self, message: &CopyMessage) -> Result<CopyMessage, CopyError> {
        self.say(message)?;
        let frame = self.link.receive()?;
        self.understand(&frame)
    }

    fn understand(&mut self, frame: &Frame) -> Result<CopyMessage, CopyError> {
        if let Ok(Message::Refused(refusal)) = Message::parse(frame) {
            return Err(self.link.refused(refusal).into());
        }
        CopyMessage::parse(frame).map_err(|error| self.link.failed(error).into())
    }

    fn unexpected(&mut self, message: &CopyMessage) -> CopyError {
        self.link.failed(WireError::Unexpected(message.kind())).into()
    }
}

/// Has the other node's receiveWALFile write into its archive, and lets it take this node for the
/// archive's sender.
pub(super) fn prove_archive(install: &Install, node: &NodeName) -> Result<String, CopyError> {
    let transport = SshTransport::new(&install.reach(node), FarCommand::ReceiveWalFile)?;
    let mut sender =
        Sender::new(Link::open(&transport, install.local_node()?.hello(Purpose::ShipWal)?)?);
    sender.probe()?;
    let archive = sender.link().welcome().archive.clone();
    sender.close();
    Ok(archive)
}
