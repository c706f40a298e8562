use std::time::{Duration, SystemTime};

use super::{Capabilities, Codec, Features, Fields, Frame, Hello, Payload, WireError};
use crate::archive::Stored;

/// The request id that means the whole session.
pub const SESSION: u32 = 0;

/// How much of a file the sender puts into one frame, in bytes. A receiver accepts any size.
pub const FILE_CHUNK: usize = 256 * 1024;

/// The first kind of frame that is not common to all purposes of a connection: from here on each purpose
/// other than shipping WAL has its own kinds.
pub const FIRST_OWN_KIND: u8 = 64;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const FILE: u8 = 3;
    pub(super) const DATA: u8 = 4;
    pub(super) const END: u8 = 5;
    pub(super) const STORED: u8 = 6;
    pub(super) const REFUSED: u8 = 7;
    pub(super) const PROBE: u8 = 8;
    pub(super) const WORKING: u8 = 9;
    pub(super) const GOODBYE: u8 = 10;
    pub(super) const ZEROS: u8 = 11;
    pub(super) const RECEIPT: u8 = 16;
    pub(super) const VOID: u8 = 17;
    pub(super) const ASK_RECEIPT: u8 = 18;
    pub(super) const RECEIPT_HELD: u8 = 19;
    pub(super) const ASK_MISSING: u8 = 20;
    pub(super) const MISSING: u8 = 21;
}

/// A message, which is sent in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Sender: its identity and the purpose of the connection.
    Hello(Hello),
    /// Receiver: the hello is accepted.
    Welcome(Welcome),
    /// Sender: a file begins.
    File(FileStart),
    /// Sender: the next bytes of the file, as encoded by its codec.
    Data {
        /// The request's id.
        id: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Sender: the next bytes of the file are zeros. Only for a receiver with [`Features::ZEROS`].
    Zeros {
        /// The request's id.
        id: u32,
        /// How many, in bytes.
        length: u64,
    },
    /// Sender: the file is complete.
    End {
        /// The request's id.
        id: u32,
        /// CRC-32 of the whole file, uncompressed.
        crc: u32,
    },
    /// Receiver: the request is carried out, durably.
    Stored {
        /// The request's id.
        id: u32,
        /// How it was carried out.
        outcome: Stored,
    },
    /// Receiver: a request, or with id [`SESSION`] the whole session, is refused.
    Refused(Refusal),
    /// Sender: write, fsync and remove a temporary file in the archive, bind the archive to this sender, and
    /// answer `Stored`.
    Probe {
        /// The request's id.
        id: u32,
    },
    /// Sender: the receipt of a clean shutdown, to be checked and stored. Only for a receiver with
    /// [`Features::RECEIPTS`], as the next two.
    Receipt {
        /// The request's id.
        id: u32,
        /// The receipt's text.
        text: String,
    },
    /// Sender: remove a receipt and its `.partial` file, if they are there, and answer `Stored`.
    Void {
        /// The request's id.
        id: u32,
        /// The receipt's id.
        receipt: String,
    },
    /// Sender: which is the first segment that is missing, from this one on?
    AskMissing {
        /// The request's id.
        id: u32,
        /// The name of the segment.
        from: String,
    },
    /// Receiver: the answer. All before it are durable.
    Missing {
        /// The request's id.
        id: u32,
        /// The name of the segment, of the same timeline.
        first: String,
    },
    /// Sender: which receipt is there, and is a segment missing?
    AskReceipt {
        /// The request's id.
        id: u32,
    },
    /// Receiver: the answer.
    ReceiptHeld {
        /// The request's id.
        id: u32,
        /// The receipt's text, empty if there is none.
        text: String,
        /// The name of the first segment that is missing before the end of what is there, empty if none is.
        missing: String,
    },
    /// Either side: a heartbeat during long work.
    Working,
    /// Sender: the end of the session.
    Goodbye,
}

/// The receiving node's answer to a hello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The receiving node's name in messages.
    pub label: String,
    /// Its archive directory's path, for messages.
    pub archive: String,
    /// How files can be sent to it.
    pub understands: Capabilities,
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStart {
    /// The request; any number but [`SESSION`] that is not in flight.
    pub id: u32,
    /// How the data is encoded.
    pub codec: Codec,
    /// The file's size in bytes, decoded.
    pub size: u64,
    /// Its name, not yet parsed.
    pub name: String,
    /// When it was last modified on the sender's node, in nanoseconds since 1970. Only for a receiver with
    /// [`Features::MODIFIED`].
    pub modified: Option<i64>,
}

impl FileStart {
    /// When the file was last modified on the sender's node, if the sender says so.
    #[must_use]
    pub fn modified_time(&self) -> Option<SystemTime> {
        let nanoseconds = self.modified?;
        let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
        match nanoseconds < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(distance),
            false => SystemTime::UNIX_EPOCH.checked_add(distance),
        }
    }
}

/// A refusal of a request or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The request, or [`SESSION`].
    pub id: u32,
    /// The reason, for programs.
    pub code: RefusalCode,
    /// Whether trying again later can help.
    pub retryable: bool,
    /// The reason and the remedy, for people: one line.
    pub message: String,
}

/// The reason of a refusal, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusalCode(pub u16);

impl RefusalCode {
    /// The sender violated the protocol.
    pub const PROTOCOL: RefusalCode = RefusalCode(1);
    /// The file's content does not match its name or the hello.
    pub const UNSOUND: RefusalCode = RefusalCode(2);
    /// It belongs to another cluster.
    pub const ANOTHER_CLUSTER: RefusalCode = RefusalCode(3);
    /// The archive belongs to another sending node.
    pub const ANOTHER_SENDER: RefusalCode = RefusalCode(4);
    /// The node is sending to itself.
    pub const SELF: RefusalCode = RefusalCode(5);
    /// A different file has the name.
    pub const CONFLICT: RefusalCode = RefusalCode(6);
    /// The archive directory is missing or can't be used.
    pub const ARCHIVE: RefusalCode = RefusalCode(7);
    /// The disk is full.
    pub const FULL: RefusalCode = RefusalCode(8);
    /// The data was damaged or truncated in transit.
    pub const DAMAGED: RefusalCode = RefusalCode(9);
    /// The receiving node's installation or configuration is unusable.
    pub const CONFIGURATION: RefusalCode = RefusalCode(10);
    /// The command does not serve the hello's purpose.
    pub const PURPOSE: RefusalCode = RefusalCode(11);
    /// The segment is past the point where a later timeline forked from its timeline.
    pub const PAST_FORK: RefusalCode = RefusalCode(12);
    /// The receiving node does not know the codec.
    pub const CODEC: RefusalCode = RefusalCode(13);
    /// The archive does not have the file that is asked for.
    pub const ABSENT: RefusalCode = RefusalCode(14);
    /// The records of the segment are damaged.
    pub const DAMAGED_RECORDS: RefusalCode = RefusalCode(15);
    /// The receiving node is a primary that cannot follow the file's timeline. It counts as down until it is a standby.
    pub const NOT_A_STANDBY: RefusalCode = RefusalCode(16);
    /// The receiving node was promoted. It is a primary on a later timeline than the sender's.
    pub const PROMOTED: RefusalCode = RefusalCode(17);
}

impl Message {
    /// The kind of DATA frames.
    pub(crate) const DATA: u8 = kind::DATA;

    /// Its kind of frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => kind::HELLO,
            Message::Welcome(_) => kind::WELCOME,
            Message::File(_) => kind::FILE,
            Message::Data { .. } => kind::DATA,
            Message::Zeros { .. } => kind::ZEROS,
            Message::End { .. } => kind::END,
            Message::Stored { .. } => kind::STORED,
            Message::Refused(_) => kind::REFUSED,
            Message::Probe { .. } => kind::PROBE,
            Message::Receipt { .. } => kind::RECEIPT,
            Message::Void { .. } => kind::VOID,
            Message::AskReceipt { .. } => kind::ASK_RECEIPT,
            Message::ReceiptHeld { .. } => kind::RECEIPT_HELD,
            Message::AskMissing { .. } => kind::ASK_MISSING,
            Message::Missing { .. } => kind::MISSING,
            Message::Working => kind::WORKING,
            Message::Goodbye => kind::GOODBYE,
        }
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let payload = match self {
            Message::Hello(hello) => hello.payload(),
            Message::Welcome(welcome) => Payload::new()
                .text(&welcome.label)
                .text(&welcome.archive)
                .u32(welcome.understands.codecs)
                .u32(welcome.understands.features.0),
            Message::File(file) => {
                let payload = Payload::new()
                    .u32(file.id)
                    .u8(file.codec.number())
                    .u64(file.size)
                    .text(&file.name);
                match file.modified {
                    Some(nanoseconds) => payload.rest(&nanoseconds.to_be_bytes()),
                    None => payload,
                }
            }
            Message::Data { id, bytes } => Payload::new().u32(*id).rest(bytes),
            Message::Zeros { id, length } => Payload::new().u32(*id).u64(*length),
            Message::End { id, crc } => Payload::new().u32(*id).u32(*crc),
            Message::Stored { id, outcome } => Payload::new().u32(*id).u8(match outcome {
                Stored::New => 1,
                Stored::AlreadyThere => 2,
            }),
            Message::Refused(refusal) => Payload::new()
                .u32(refusal.id)
                .u16(refusal.code.0)
                .u8(u8::from(refusal.retryable))
                .text(&refusal.message),
            Message::Probe { id } | Message::AskReceipt { id } => Payload::new().u32(*id),
            Message::Receipt { id, text } => Payload::new().u32(*id).text(text),
            Message::Void { id, receipt } => Payload::new().u32(*id).text(receipt),
            Message::AskMissing { id, from: name } | Message::Missing { id, first: name } => {
                Payload::new().u32(*id).text(name)
            }
            Message::ReceiptHeld { id, text, missing } => {
                Payload::new().u32(*id).text(text).text(missing)
            }
            Message::Working | Message::Goodbye => Payload::new(),
        };
        payload.into_bytes()
    }

    /// Its frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame { kind: self.kind(), payload: self.payload() }
    }

    /// The request and bytes of a DATA frame, without a copy; `None` if it is another frame.
    ///
    /// # Errors
    /// If a field is missing or invalid.
    pub(crate) fn parse_data(frame: &Frame) -> Result<Option<(u32, &[u8])>, WireError> {
        if frame.kind != kind::DATA {
            return Ok(None);
        }
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let id = request(&mut fields)?;
        Ok(Some((id, fields.rest())))
    }

    /// Parses a frame strictly. Only a hello and a welcome may be longer than their fields, which allows later
    /// versions to extend them.
    ///
    /// # Errors
    /// If the kind is unknown or a field is invalid.
    pub fn parse(frame: &Frame) -> Result<Message, WireError> {
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let message = match frame.kind {
            kind::HELLO => return Ok(Message::Hello(Hello::parse(&mut fields)?)),
            kind::WELCOME => {
                let (label, archive, codecs) = (fields.text()?, fields.text()?, fields.u32()?);
                // Earlier versions of this code end here.
                let features = Features(if fields.is_empty() { 0 } else { fields.u32()? });
                let understands = Capabilities { codecs, features };
                return Ok(Message::Welcome(Welcome { label, archive, understands }));
            }
            kind::FILE => Message::File(FileStart {
                id: request(&mut fields)?,
                codec: Codec::of(fields.u8()?),
                size: fields.u64()?,
                name: fields.text()?,
                modified: if fields.is_empty() { None } else { Some(fields.i64()?) },
            }),
            kind::DATA => {
                let id = request(&mut fields)?;
                return Ok(Message::Data { id, bytes: fields.rest().to_vec() });
            }
            kind::ZEROS => Message::Zeros { id: request(&mut fields)?, length: fields.u64()? },
            kind::END => Message::End { id: request(&mut fields)?, crc: fields.u32()? },
            kind::STORED => Message::Stored {
                id: request(&mut fields)?,
                outcome: match fields.u8()? {
                    1 => Stored::New,
                    2 => Stored::AlreadyThere,
                    _ => return Err(fields.malformed("unknown outcome")),
                },
            },
            kind::REFUSED => Message::Refused(Refusal {
                id: fields.u32()?,
                code: RefusalCode(fields.u16()?),
                retryable: match fields.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(fields.malformed("invalid flag")),
                },
                message: fields.text()?,
            }),
            kind::PROBE => Message::Probe { id: request(&mut fields)? },
            kind::RECEIPT => Message::Receipt { id: request(&mut fields)?, text: fields.lines()? },
            kind::VOID => Message::Void { id: request(&mut fields)?, receipt: fields.text()? },
            kind::ASK_RECEIPT => Message::AskReceipt { id: request(&mut fields)? },
            kind::RECEIPT_HELD => Message::ReceiptHeld {
                id: request(&mut fields)?,
                text: fields.lines()?,
                missing: fields.text()?,
            },
            kind::ASK_MISSING => {
                Message::AskMissing { id: request(&mut fields)?, from: fields.text()? }
            }
            kind::MISSING => Message::Missing { id: request(&mut fields)?, first: fields.text()? },
            kind::WORKING => Message::Working,
            kind::GOODBYE => Message::Goodbye,
            other => return Err(WireError::UnknownKind(other)),
        };
        fields.finish()?;
        Ok(message)
    }
}

fn request(fields: &mut Fields) -> Result<u32, WireError> {
    match fields.u32()? {
        SESSION => Err(fields.malformed("invalid request id 0")),
        id => Ok(id),
    }
}
