use super::{Fields, Frame, Payload, WireError};
use crate::identifiers::{MachineId, NodeId};
use crate::version::PgMajor;
use crate::wal::SegmentSize;

/// The request id that means the whole session.
pub const SESSION: u32 = 0;

/// How much of a file the sender puts into one frame, in bytes; a receiver takes any size.
pub const FILE_CHUNK: usize = 256 * 1024;

/// The kinds of frame below this one are the protocol's own; a purpose other than shipping WAL has its
/// own kinds from here on.
pub const FIRST_OWN_KIND: u8 = 64;

mod kind {
    pub const HELLO: u8 = 1;
    pub const WELCOME: u8 = 2;
    pub const FILE: u8 = 3;
    pub const DATA: u8 = 4;
    pub const END: u8 = 5;
    pub const STORED: u8 = 6;
    pub const REFUSED: u8 = 7;
    pub const PROBE: u8 = 8;
    pub const WORKING: u8 = 9;
    pub const GOODBYE: u8 = 10;
}

/// What travels in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Sender: who is sending, and what for.
    Hello(Hello),
    /// Receiver: the hello is accepted.
    Welcome(Welcome),
    /// Sender: a file begins.
    File(FileStart),
    /// Sender: the next bytes of the file, as its codec left them.
    Data {
        /// The request.
        id: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Sender: the file is complete.
    End {
        /// The request.
        id: u32,
        /// CRC-32 of the whole file, uncompressed.
        crc: u32,
    },
    /// Receiver: the request is done, and durable.
    Stored {
        /// The request.
        id: u32,
        /// How.
        outcome: Stored,
    },
    /// Receiver: a request, or with id [`SESSION`] the whole session, is refused.
    Refused(Refusal),
    /// Sender: write, fsync and remove a scratch file where WAL files are received, make the archive
    /// this sender's, and say `Stored`.
    Probe {
        /// The request.
        id: u32,
    },
    /// Either side: still at it. Says only that nothing hangs.
    Working,
    /// Sender: nothing more will come.
    Goodbye,
}

/// Who is sending, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The cluster's system identifier.
    pub system_identifier: u64,
    /// The cluster's segment size.
    pub segment_size: SegmentSize,
    /// The cluster's major version.
    pub major: PgMajor,
    /// The sending node's [`node_id`](crate::node::Install::node_id).
    pub node_id: NodeId,
    /// What the sending node calls itself, for messages.
    pub label: String,
    /// The machine that it runs on; none where that has no id, or the sender is of a version that did not
    /// say.
    pub machine: Option<MachineId>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Adding WAL files to the archive.
    ShipWal,
    /// Making a base copy of the cluster.
    BaseCopy,
}

/// The receiving node's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// What the receiving node calls itself, for messages.
    pub label: String,
    /// Its archive directory's path, for messages.
    pub archive: String,
    /// The codecs it understands: bit N is set for codec N.
    pub codecs: u32,
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStart {
    /// The request; any number but [`SESSION`] that is not in flight.
    pub id: u32,
    /// How the data is packed.
    pub codec: Codec,
    /// The file's size in bytes, unpacked.
    pub size: u64,
    /// Its name; the receiver parses it.
    pub name: String,
}

/// How a file's data is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it is: codec 0.
    None,
    /// One that this version does not know.
    Other(u8),
}

/// How a request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    New,
    /// The same file was there before.
    AlreadyThere,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The request, or [`SESSION`].
    pub id: u32,
    /// Why, for a program.
    pub code: RefusalCode,
    /// Whether the same again, later, may go well.
    pub retryable: bool,
    /// Why, for people: one line.
    pub message: String,
}

/// Why something was refused, for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusalCode(pub u16);

impl RefusalCode {
    /// What came was not the protocol.
    pub const PROTOCOL: RefusalCode = RefusalCode(1);
    /// The file is not what its name or the hello says.
    pub const UNSOUND: RefusalCode = RefusalCode(2);
    /// It belongs to another cluster.
    pub const ANOTHER_CLUSTER: RefusalCode = RefusalCode(3);
    /// The archive belongs to another sending node.
    pub const ANOTHER_SENDER: RefusalCode = RefusalCode(4);
    /// The node is sending to itself.
    pub const SELF: RefusalCode = RefusalCode(5);
    /// A different file stands under the name.
    pub const CONFLICT: RefusalCode = RefusalCode(6);
    /// The archive directory is missing or can't be used.
    pub const ARCHIVE: RefusalCode = RefusalCode(7);
    /// The disk is full.
    pub const FULL: RefusalCode = RefusalCode(8);
    /// The data was damaged or cut on its way.
    pub const DAMAGED: RefusalCode = RefusalCode(9);
    /// The receiving node's installation or configuration can't work.
    pub const CONFIGURATION: RefusalCode = RefusalCode(10);
    /// This command does not serve the hello's purpose.
    pub const PURPOSE: RefusalCode = RefusalCode(11);
    /// The segment belongs to a timeline past the point where another branched off it.
    pub const PAST_FORK: RefusalCode = RefusalCode(12);
    /// The codec is not known here.
    pub const CODEC: RefusalCode = RefusalCode(13);
}

impl Message {
    /// The kind of frame that carries it.
    pub fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => kind::HELLO,
            Message::Welcome(_) => kind::WELCOME,
            Message::File(_) => kind::FILE,
            Message::Data { .. } => kind::DATA,
            Message::End { .. } => kind::END,
            Message::Stored { .. } => kind::STORED,
            Message::Refused(_) => kind::REFUSED,
            Message::Probe { .. } => kind::PROBE,
            Message::Working => kind::WORKING,
            Message::Goodbye => kind::GOODBYE,
        }
    }

    /// Its payload.
    pub fn payload(&self) -> Vec<u8> {
        let payload = match self {
            Message::Hello(hello) => {
                let payload = Payload::new()
                    .u8(match hello.purpose {
                        Purpose::ShipWal => 1,
                        Purpose::BaseCopy => 2,
                    })
                    .u64(hello.system_identifier)
                    .u64(hello.segment_size.bytes())
                    .text(&hello.major.to_string())
                    .text(hello.node_id.as_str())
                    .text(&hello.label);
                payload.text(hello.machine.as_ref().map_or("", MachineId::as_str))
            }
            Message::Welcome(welcome) => {
                Payload::new().text(&welcome.label).text(&welcome.archive).u32(welcome.codecs)
            }
            Message::File(file) => Payload::new()
                .u32(file.id)
                .u8(match file.codec {
                    Codec::None => 0,
                    Codec::Other(number) => number,
                })
                .u64(file.size)
                .text(&file.name),
            Message::Data { id, bytes } => Payload::new().u32(*id).rest(bytes),
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
            Message::Probe { id } => Payload::new().u32(*id),
            Message::Working | Message::Goodbye => Payload::new(),
        };
        payload.into_bytes()
    }

    /// The frame that carries it.
    pub fn frame(&self) -> Frame {
        Frame { kind: self.kind(), payload: self.payload() }
    }

    /// Reads a frame's payload, strictly. Only behind the fields of a hello and a welcome may more
    /// follow, for later versions to say more.
    pub fn parse(frame: &Frame) -> Result<Message, WireError> {
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let message = match frame.kind {
            kind::HELLO => return Ok(Message::Hello(hello(&mut fields)?)),
            kind::WELCOME => {
                let (label, archive) = (fields.text()?, fields.text()?);
                return Ok(Message::Welcome(Welcome { label, archive, codecs: fields.u32()? }));
            }
            kind::FILE => Message::File(FileStart {
                id: request(&mut fields)?,
                codec: match fields.u8()? {
                    0 => Codec::None,
                    number => Codec::Other(number),
                },
                size: fields.u64()?,
                name: fields.text()?,
            }),
            kind::DATA => {
                let id = request(&mut fields)?;
                return Ok(Message::Data { id, bytes: fields.rest().to_vec() });
            }
            kind::END => Message::End { id: request(&mut fields)?, crc: fields.u32()? },
            kind::STORED => Message::Stored {
                id: request(&mut fields)?,
                outcome: match fields.u8()? {
                    1 => Stored::New,
                    2 => Stored::AlreadyThere,
                    _ => return Err(fields.malformed("the outcome is unknown")),
                },
            },
            kind::REFUSED => Message::Refused(Refusal {
                id: fields.u32()?,
                code: RefusalCode(fields.u16()?),
                retryable: match fields.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(fields.malformed("a flag is neither 0 nor 1")),
                },
                message: fields.text()?,
            }),
            kind::PROBE => Message::Probe { id: request(&mut fields)? },
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
        SESSION => Err(fields.malformed("the request id is 0")),
        id => Ok(id),
    }
}

fn hello(fields: &mut Fields) -> Result<Hello, WireError> {
    let purpose = match fields.u8()? {
        1 => Purpose::ShipWal,
        2 => Purpose::BaseCopy,
        _ => return Err(fields.malformed("the purpose is unknown")),
    };
    let system_identifier = fields.u64()?;
    let segment_size = SegmentSize::new(fields.u64()?)
        .map_err(|_| fields.malformed("the segment size is none"))?;
    let major =
        fields.text()?.parse().map_err(|_| fields.malformed("the PostgreSQL version is none"))?;
    let node_id = fields.text()?.parse().map_err(|_| fields.malformed("the node id is none"))?;
    let label = fields.text()?;
    // Earlier versions of this code end here.
    let machine = if fields.is_empty() { String::new() } else { fields.text()? };
    let machine = match machine.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| fields.malformed("the machine id is none"))?),
    };
    Ok(Hello { purpose, system_identifier, segment_size, major, node_id, label, machine })
}
