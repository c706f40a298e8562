//! The far end of fetching: sends WAL files from this node's archive to another node of the cluster. It changes no WAL
//! file, and records how far a standby for which segments were relayed has fetched them.

mod admission;

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use super::SendOptions;
use super::content::{BadContent, check_content};
use super::fetch::{Fetched, Get, following_name};
use super::outgoing::{NotSent as Unsent, Outgoing};
use super::receiver::{ServeError, answer, protocol_error, read_hello, refusal, refuse};
use super::wire::{
    Capabilities, FILE_CHUNK, Features, Hello, Message, Refusal, RefusalCode, Welcome, WireError,
    read_frame, write_frame,
};
use crate::archive::Archive;
use crate::file_error::{FileError, if_exists};
use crate::identifiers::NodeId;
use crate::wal::{SegmentLayout, SegmentName, WalFileName};

/// Sends WAL files from a node's archive to another node that asks for them.
///
/// ```
/// use twowarm_core::ship::{ServeError, Supplier};
///
/// # let node = tempfile::tempdir()?;
/// let supplier = Supplier {
///     archive: node.path().join("archive"),
///     local_replication: node.path().join("2warm/local/replication"),
///     data_directory: Some(node.path().join("data")),
///     label: "db3".into(),
///     node_id: "db3".parse()?,
/// };
/// // sshd connects standard input and output with the other node. This one hangs up at once.
/// let (input, mut output) = (std::io::empty(), Vec::new());
/// assert!(matches!(supplier.serve(input, &mut output), Err(ServeError::Wire(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Supplier {
    /// The archive directory, which must exist.
    pub archive: PathBuf,
    /// The node's `local/replication`, which contains the archive's stored [mark](crate::archive::mark).
    pub local_replication: PathBuf,
    /// The node's data directory, if it is known. It may be empty.
    pub data_directory: Option<PathBuf>,
    /// The node's name in messages.
    pub label: String,
    /// The node's own id, by which it recognizes itself as the other node.
    pub node_id: NodeId,
}

/// The answers of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Supplied {
    /// Files that were sent.
    pub sent: u32,
    /// Files that the archive does not have.
    pub absent: u32,
    /// Files that were refused.
    pub refused: u32,
}

impl Supplier {
    /// Serves one node until it says goodbye or closes the connection.
    ///
    /// # Errors
    /// If the other node may not fetch here, violates the protocol, or the connection fails. A refused file is
    /// not an error.
    pub fn serve(
        &self,
        mut input: impl Read,
        mut output: impl Write,
    ) -> Result<Supplied, ServeError> {
        let hello = read_hello(&mut input, &mut output)?;
        let archive = match self.admit(&hello) {
            Ok(archive) => archive,
            Err(refusal) => return Err(refuse(&mut output, hello, refusal)),
        };
        let path = archive.path().display().to_string();
        let welcome = Welcome {
            label: self.label.clone(),
            archive: path,
            understands: Capabilities { codecs: 0, features: Features::FETCHED },
        };
        answer(&mut output, &Message::Welcome(welcome))?;
        Session { archive, hello, input, output, supplied: Supplied::default() }.run()
    }
}

struct Session<R, W> {
    archive: Archive,
    hello: Hello,
    input: R,
    output: W,
    supplied: Supplied,
}

/// Why a file is not sent.
enum NotSent {
    /// The other node is told so.
    Refused(Refusal),
    /// The session ends.
    Broken(ServeError),
}

impl From<Refusal> for NotSent {
    fn from(refusal: Refusal) -> NotSent {
        NotSent::Refused(refusal)
    }
}

impl<R: Read, W: Write> Session<R, W> {
    fn run(mut self) -> Result<Supplied, ServeError> {
        loop {
            let frame = match read_frame(&mut self.input) {
                Ok(frame) => frame,
                Err(WireError::Closed) => return Ok(self.supplied),
                Err(e) => return Err(e.into()),
            };
            if frame.kind == Get::KIND {
                match Get::parse(&frame) {
                    Ok(get) => self.supply(&get)?,
                    Err(e) => return protocol_error(&mut self.output, e),
                }
                continue;
            }
            if frame.kind == Fetched::KIND {
                match Fetched::parse(&frame) {
                    Ok(fetched) => self.note_stored(&fetched.name),
                    Err(e) => return protocol_error(&mut self.output, e),
                }
                continue;
            }
            match Message::parse(&frame) {
                Ok(Message::Working) => {}
                Ok(Message::Goodbye) => return Ok(self.supplied),
                Ok(other) => {
                    let error = WireError::Unexpected(other.kind());
                    return protocol_error(&mut self.output, error);
                }
                Err(e) => return protocol_error(&mut self.output, e),
            }
        }
    }

    /// Sends the file and those after it, up to the first that is missing or unfit.
    fn supply(&mut self, get: &Get) -> Result<(), ServeError> {
        let mut next = match get.name.parse::<WalFileName>() {
            Ok(name) => Some(name),
            Err(e) => return self.refuse(get.id, refusal(RefusalCode::UNSOUND, false, e)),
        };
        if let Some(WalFileName::Segment(segment)) = next {
            self.note_needed(segment);
        }
        let layout = self.layout();
        let level = SendOptions::COMPRESSION_LEVEL;
        let mut outgoing = match Outgoing::new(get.understands, level, FILE_CHUNK) {
            Ok(outgoing) => outgoing,
            Err(e) => return self.refuse(get.id, refusal(RefusalCode::ARCHIVE, true, e)),
        };
        for _ in 0..=get.following {
            let Some(name) = next else {
                let message = "there is no segment after it";
                return self.refuse(get.id, refusal(RefusalCode::ABSENT, false, message));
            };
            match self.send(get.id, name, &mut outgoing) {
                Ok(()) => self.supplied.sent += 1,
                Err(NotSent::Refused(refusal)) => return self.refuse(get.id, refusal),
                Err(NotSent::Broken(error)) => return Err(error),
            }
            next = following_name(name, layout);
        }
        Ok(())
    }

    fn layout(&self) -> SegmentLayout {
        SegmentLayout::new(self.hello.major, self.hello.segment_size)
    }

    /// The other node has stored this segment.
    fn note_stored(&self, name: &str) {
        let stored = name.parse::<SegmentName>().ok();
        if let Some(next) = stored.and_then(|segment| self.layout().next(segment)) {
            self.note_needed(next);
        }
    }

    /// The other node needs no segment before this one. If that can't be recorded, more is kept than necessary.
    fn note_needed(&self, first: SegmentName) {
        if let Err(e) = self.archive.note_fetched(first) {
            log::warn!(
                "could not record that {} needs only {first} and later segments: {e}",
                self.hello.label
            );
        }
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) -> Result<(), ServeError> {
        if refusal.code == RefusalCode::ABSENT {
            self.supplied.absent += 1;
        } else {
            self.supplied.refused += 1;
            log::warn!("refused {}: {}", self.hello.label, refusal.message);
        }
        answer(&mut self.output, &Message::Refused(Refusal { id, ..refusal }))
    }

    fn send(&mut self, id: u32, name: WalFileName, outgoing: &mut Outgoing) -> Result<(), NotSent> {
        let (mut file, metadata) = self.open(name)?;
        let unreadable =
            |e| refusal(RefusalCode::ARCHIVE, true, format!("could not read {name}: {e}"));
        match check_content(name, metadata.len(), &mut file, &self.hello) {
            Ok(_) => {}
            Err(BadContent::Io { error, .. }) => return Err(unreadable(error).into()),
            Err(bad) => {
                let code = match bad.is_foreign() {
                    true => RefusalCode::ANOTHER_CLUSTER,
                    false => RefusalCode::UNSOUND,
                };
                return Err(refusal(code, false, bad).into());
            }
        }
        file.rewind().map_err(unreadable)?;
        let mut send = |kind, parts: &[&[u8]]| write_frame(&mut self.output, kind, parts);
        outgoing.send(id, name, (&mut file, &metadata), &mut send).map(|_| ()).map_err(
            |e| match e {
                // A refusal in the middle of a file makes the other side discard it.
                Unsent::Read(e) | Unsent::Compress(e) => unreadable(e).into(),
                Unsent::Send(e) => NotSent::Broken(ServeError::Answer(e)),
            },
        )
    }

    /// Opens a file of the archive. Only a regular file: opening a named pipe would hang.
    fn open(&self, name: WalFileName) -> Result<(File, Metadata), Refusal> {
        let path = self.archive.path_of(name);
        let failed = |e| refusal(RefusalCode::ARCHIVE, true, e);
        let found = if_exists(fs::metadata(&path)).map_err(FileError::of("read", &path));
        match found.map_err(failed)? {
            Some(found) if found.is_file() => {}
            Some(_) => {
                let message = format!("\"{}\" is not a regular file", path.display());
                return Err(refusal(RefusalCode::UNSOUND, false, message));
            }
            None => return Err(self.without(name)),
        }
        let opened = self.archive.find(name).map_err(|e| refusal(RefusalCode::ARCHIVE, true, e))?;
        let Some(file) = opened else { return Err(self.without(name)) };
        let metadata = file.metadata().map_err(FileError::of("read", &path)).map_err(failed)?;
        Ok((file, metadata))
    }

    /// The file is absent only if the archive directory can be read.
    fn without(&self, name: WalFileName) -> Refusal {
        match Archive::open(self.archive.path()) {
            Ok(_) => refusal(RefusalCode::ABSENT, true, format!("{name} does not exist")),
            Err(e) => refusal(RefusalCode::ARCHIVE, true, e),
        }
    }
}
