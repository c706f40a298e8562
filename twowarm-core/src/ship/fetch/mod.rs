//! The near end of fetching: asks sendWALFile on another node for WAL files and stores them in this node's
//! archive, as receiveWALFile stores those that a primary sends.

mod message;
mod records;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::PathBuf;

use super::receiver::{FileInFlight, Receiver};
use super::wire::{
    Capabilities, Decoder, Features, Hello, Message, Purpose, Refusal, RefusalCode, WireError,
};
use super::{Link, LinkError, LocalNode, NodeError, Transport};
use crate::archive::{
    Archive, ArchiveError, FetchStep, Machines, OtherArchive, ScratchFile, Wanted, check_mark,
};
use crate::retry::Retryable;
use crate::wal::{SegmentLayout, SegmentName, WalFileName};

pub use message::{Fetched, Get};
pub(super) use records::check_records;

/// Fetches WAL files from another node's archive into this node's archive.
#[derive(Debug, Clone)]
pub struct Fetcher<T> {
    /// The node on this side.
    pub node: LocalNode,
    /// Starts sendWALFile on the other node.
    pub transport: T,
    /// This node's archive directory, which must exist.
    pub archive: PathBuf,
    /// This node's `local/replication`, which contains the archive's stored [mark](crate::archive::mark).
    pub local_replication: PathBuf,
}

/// Why fetching was given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// This node can't present itself.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The connection failed, or the other node refused it.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This node's archive can't be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file could not be stored in this node's archive.
    #[error("could not store {name} from {node}: {message}")]
    Store {
        /// The file.
        name: WalFileName,
        /// The other node.
        node: String,
        /// The reason.
        message: String,
    },
}

impl Retryable for FetchError {
    fn is_retryable(&self) -> bool {
        match self {
            FetchError::Node(_) => false,
            FetchError::Link(error) => error.is_retryable(),
            FetchError::Archive(error) => error.is_retryable(),
            FetchError::Store { .. } => true,
        }
    }
}

impl<T: Transport> Fetcher<T> {
    /// Fetches files, one after the other, over one connection. `progress` is called for each step and ends the
    /// connection by returning `false`.
    ///
    /// # Errors
    /// If the other node can't be reached or refuses the connection, or a file can't be stored here.
    pub fn fetch(
        &self,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), FetchError> {
        let mut session = self.connect(None)?;
        for wanted in wanted {
            if !session.get(wanted, progress)? {
                break;
            }
        }
        session.end();
        Ok(())
    }

    /// Fetches one file into a scratch file. The other node is not told that this node has it.
    ///
    /// # Errors
    /// As [`fetch`](Fetcher::fetch).
    pub fn fetch_to_scratch(
        &self,
        wanted: Wanted,
        scratch: ScratchFile,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), FetchError> {
        let mut session = self.connect(Some(scratch))?;
        session.ask(&Wanted { following: 0, ..wanted }, progress)?;
        session.end();
        Ok(())
    }

    fn connect(&self, scratch: Option<ScratchFile>) -> Result<Session, FetchError> {
        let hello = self.node.hello(Purpose::FetchWal)?;
        let archive = Archive::open(&self.archive)?;
        check_mark(&self.archive, &self.local_replication)?;
        let link = Link::open(&self.transport, hello.clone())?;
        let receiver = Receiver {
            archive: self.archive.clone(),
            local_replication: self.local_replication.clone(),
            data_directory: Some(self.node.data_directory.clone()),
            label: self.node.label.clone(),
            node_id: self.node.node_id.clone(),
            machines: Machines::Any,
            retain: crate::prune::Keep::default(),
        };
        Ok(Session { link, archive, receiver, hello, last_id: 0, fetched: None, scratch })
    }
}

impl<T: Transport + Send + Sync> OtherArchive for Fetcher<T> {
    fn node(&self) -> String {
        self.transport.node().to_owned()
    }

    fn fetch(
        &self,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Fetcher::fetch(self, wanted, progress)?)
    }

    fn fetch_to_scratch(
        &self,
        wanted: Wanted,
        scratch: ScratchFile,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Fetcher::fetch_to_scratch(self, wanted, scratch, progress)?)
    }
}

struct Session {
    link: Link,
    archive: Archive,
    receiver: Receiver,
    hello: Hello,
    last_id: u32,
    /// The last segment of which the far end was told that it is stored.
    fetched: Option<SegmentName>,
    /// Where the file goes instead of the archive.
    scratch: Option<ScratchFile>,
}

/// How the other node answered for one file.
enum Answer {
    Step(FetchStep),
    /// It refused to send it, so that no further file follows.
    NoMore(FetchStep),
    /// `progress` asked to end.
    Stopped,
}

impl Session {
    fn end(self) {
        match self.fetched {
            // The far end must read the last FETCHED before the connection ends.
            Some(_) => self.link.close(),
            None => self.link.leave(),
        }
    }

    /// Fetches a file and the ones after it, and tells the far end which segments it need not keep. False if
    /// `progress` asked to end.
    fn get(
        &mut self,
        wanted: &Wanted,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<bool, FetchError> {
        let (mut last, mut all) = (None, true);
        let goes_on = self.ask(wanted, &mut |step| {
            match &step {
                FetchStep::Stored(WalFileName::Segment(segment), _) if all => last = Some(*segment),
                FetchStep::Unfit { .. } => all = false,
                _ => {}
            }
            progress(step)
        })?;
        if let Some(segment) = last
            && self.link.welcome().understands.has(Features::FETCHED)
        {
            let fetched = Fetched { name: segment.to_string() };
            self.link.send_frame(Fetched::KIND, &[&fetched.payload()])?;
            self.fetched = last;
        }
        Ok(goes_on)
    }

    /// Asks for a file and the ones after it, and stores what arrives. False if `progress` asked to end.
    fn ask(
        &mut self,
        wanted: &Wanted,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<bool, FetchError> {
        self.last_id += 1;
        let (id, following) = (self.last_id, wanted.following);
        let name = wanted.name.to_string();
        let get = Get { id, name, following, understands: Capabilities::OURS };
        self.link.send_frame(Get::KIND, &[&get.payload()])?;
        let mut next = Some(wanted.name);
        for _ in 0..=following {
            let Some(name) = next else { break };
            let (step, more) = match self.receive(id, name, wanted.even_damaged, progress)? {
                Answer::Step(step) => (step, true),
                Answer::NoMore(step) => (step, false),
                Answer::Stopped => return Ok(false),
            };
            if !progress(step) {
                return Ok(false);
            }
            if !more {
                break;
            }
            next = following_name(name, self.layout());
        }
        Ok(true)
    }

    fn layout(&self) -> SegmentLayout {
        SegmentLayout::new(self.hello.major, self.hello.segment_size)
    }

    /// Receives one file and stores it.
    fn receive(
        &mut self,
        id: u32,
        name: WalFileName,
        even_damaged: bool,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<Answer, FetchError> {
        let mut file = match self.link.receive_message()? {
            Message::File(start) if start.id == id && start.name == name.to_string() => {
                let file = match self.scratch.take() {
                    Some(scratch) => FileInFlight::begin_scratch(start, scratch, &self.hello),
                    None => FileInFlight::begin(start, &self.archive, &self.hello, Decoder::new()),
                };
                file.fetched(even_damaged)
            }
            Message::Refused(refusal) if refusal.id == id => return Ok(refused(name, refusal)),
            other => return Err(self.unexpected(&other)),
        };
        loop {
            if !progress(FetchStep::Data) {
                return Ok(Answer::Stopped);
            }
            match self.link.receive_message()? {
                Message::Data { id: of, bytes } if of == id => file.add(&bytes),
                Message::Zeros { id: of, length } if of == id => file.add_zeros(length),
                Message::End { id: of, crc } if of == id => {
                    file.end(crc);
                    let stored = file.finish(&self.archive, &self.receiver, &self.hello);
                    return self.stored(name, stored, progress).map(Answer::Step);
                }
                Message::Refused(refusal) if refusal.id == id => return Ok(refused(name, refusal)),
                other => return Err(self.unexpected(&other)),
            }
        }
    }

    fn stored(
        &self,
        name: WalFileName,
        stored: Result<crate::archive::Stored, Refusal>,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<FetchStep, FetchError> {
        match stored {
            Ok(stored) => {
                // The archive's disk may have been unmounted since the connection was made.
                check_mark(&self.receiver.archive, &self.receiver.local_replication)?;
                Ok(FetchStep::Stored(name, stored))
            }
            // This node's disk: the next file would fail too.
            Err(refusal) if matches!(refusal.code, RefusalCode::FULL | RefusalCode::ARCHIVE) => {
                progress(FetchStep::NotStored(name));
                let node = self.link.node().to_owned();
                Err(FetchError::Store { name, node, message: refusal.message })
            }
            Err(refusal) => Ok(unfit(name, refusal)),
        }
    }

    fn unexpected(&mut self, message: &Message) -> FetchError {
        self.link.failed(WireError::Unexpected(message.kind())).into()
    }
}

fn refused(name: WalFileName, refusal: Refusal) -> Answer {
    Answer::NoMore(match refusal.code {
        RefusalCode::ABSENT => FetchStep::Absent(name),
        _ => unfit(name, refusal),
    })
}

fn unfit(name: WalFileName, refusal: Refusal) -> FetchStep {
    let damaged = refusal.code == RefusalCode::DAMAGED_RECORDS;
    FetchStep::Unfit { name, why: refusal.message, damaged }
}

/// The segment after a segment; none after other files.
pub(super) fn following_name(name: WalFileName, layout: SegmentLayout) -> Option<WalFileName> {
    let WalFileName::Segment(segment) = name else { return None };
    layout.next(segment).map(WalFileName::Segment)
}
