use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::ship::WalFile;
use crate::ship::fingerprint::Fingerprint;
use crate::ship::wire::{
    Capabilities, Fields, Frame, Message, Payload, Stored, Welcome, WireError, read_frame,
    write_frame,
};

mod kind {
    pub(super) const ASK: u8 = 1;
    pub(super) const STORED: u8 = 2;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const SHIP_IT: u8 = 4;
    pub(super) const WORKING: u8 = 5;
    pub(super) const NEEDS_CHECKSUM: u8 = 6;
}

/// What a call asks the process that ships ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The call's file, with an absolute path in UTF-8.
    pub(super) file: WalFile,
    /// Its state at the time of the call, with the checksum if that was asked for.
    pub(super) content: Fingerprint,
    /// Where the call ships to, and how.
    pub(super) destination: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The file, as it was at the time of the call, is durable in the other node's archive.
    Stored {
        /// Whether it is new there.
        stored: Stored,
        /// Whether it was shipped with a defect.
        has_defect: bool,
        /// The other node.
        welcome: Welcome,
    },
    /// The other node could not be reached within the time limit.
    Unreachable(String),
    /// The call must ship its file itself.
    ShipIt,
    /// A heartbeat; the answer follows.
    Working,
    /// The call must ask again with the checksum of its file.
    NeedsChecksum,
}

impl Request {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let path = self.file.path.to_str().unwrap_or_default();
        let payload = Payload::new().text(&self.file.name.to_string()).text(path);
        let payload = self.content.write(payload).rest(self.destination.as_bytes());
        write_frame(out, kind::ASK, &[&payload.into_bytes()])
    }

    pub(super) fn read(input: &mut impl Read) -> Result<Request, WireError> {
        let frame = read_frame(input)?;
        if frame.kind != kind::ASK {
            return Err(WireError::Unexpected(frame.kind));
        }
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let bad_name = fields.malformed("not a WAL file name");
        let name = fields.text()?.parse().map_err(|_| bad_name)?;
        let file = WalFile { name, path: PathBuf::from(fields.text()?) };
        let content = Fingerprint::read(&mut fields)?;
        let destination = String::from_utf8_lossy(fields.rest()).into_owned();
        Ok(Request { file, content, destination })
    }
}

impl Answer {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (kind, payload) = match self {
            Answer::Stored { stored, has_defect, welcome } => {
                let payload = Payload::new().u8((*stored == Stored::New).into());
                let welcome = Message::Welcome(welcome.clone()).payload();
                (kind::STORED, payload.u8((*has_defect).into()).rest(&welcome))
            }
            Answer::Unreachable(why) => (kind::UNREACHABLE, Payload::new().text(why)),
            Answer::ShipIt => (kind::SHIP_IT, Payload::new()),
            Answer::Working => (kind::WORKING, Payload::new()),
            Answer::NeedsChecksum => (kind::NEEDS_CHECKSUM, Payload::new()),
        };
        write_frame(out, kind, &[&payload.into_bytes()])
    }

    pub(super) fn read(input: &mut impl Read) -> Result<Answer, WireError> {
        let frame = read_frame(input)?;
        let mut fields = Fields::new(frame.kind, &frame.payload);
        Ok(match frame.kind {
            kind::STORED => {
                let stored = if fields.u8()? == 1 { Stored::New } else { Stored::AlreadyThere };
                let has_defect = fields.u8()? == 1;
                Answer::Stored { stored, has_defect, welcome: welcome(fields.rest())? }
            }
            kind::UNREACHABLE => Answer::Unreachable(fields.text()?),
            kind::SHIP_IT => Answer::ShipIt,
            kind::WORKING => Answer::Working,
            kind::NEEDS_CHECKSUM => Answer::NeedsChecksum,
            other => return Err(WireError::Unexpected(other)),
        })
    }
}

fn welcome(payload: &[u8]) -> Result<Welcome, WireError> {
    let none = Welcome {
        label: String::new(),
        archive: String::new(),
        understands: Capabilities::default(),
    };
    let kind = Message::Welcome(none).kind();
    match Message::parse(&Frame { kind, payload: payload.to_vec() })? {
        Message::Welcome(welcome) => Ok(welcome),
        other => Err(WireError::Unexpected(other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back() {
        let path = "/proc/self/exe".as_ref();
        for content in [Fingerprint::state_of(path).unwrap(), Fingerprint::of(path).unwrap()] {
            request_is_read_back(content);
        }
    }

    fn request_is_read_back(content: Fingerprint) {
        let name = "00000002.history".parse().unwrap();
        let file = WalFile { name, path: "/data/pg_wal/00000002.history".into() };
        let request = Request { file, content, destination: "db2 \u{e4}".repeat(2000) };
        let mut sent = Vec::new();
        request.write(&mut sent).unwrap();
        assert_eq!(Request::read(&mut sent.as_slice()).unwrap(), request);
    }

    #[test]
    fn answers_are_read_back() {
        let welcome = Welcome {
            label: "db2".into(),
            archive: "/archive".into(),
            understands: Capabilities::default(),
        };
        let stored =
            |stored, has_defect| Answer::Stored { stored, has_defect, welcome: welcome.clone() };
        for answer in [
            stored(Stored::New, false),
            stored(Stored::AlreadyThere, true),
            Answer::Unreachable("db2: no progress".into()),
            Answer::ShipIt,
            Answer::Working,
            Answer::NeedsChecksum,
        ] {
            let mut sent = Vec::new();
            answer.write(&mut sent).unwrap();
            assert_eq!(Answer::read(&mut sent.as_slice()).unwrap(), answer);
        }
        assert!(Answer::read(&mut [].as_slice()).is_err());
    }
}
