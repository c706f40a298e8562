use std::mem;

use super::collision::{advice, compare};
use super::{Receiver, refusal, refusal_of};
use crate::archive::{Archive, ArchiveError, Incoming, ScratchFile};
use crate::ship::content::{BadContent, Content, check_content, check_size};
use crate::ship::fetch::check_records;
use crate::ship::wire::{
    DecodeError, Decoder, FileStart, Hello, Piece, Purpose, Refusal, RefusalCode, Stored,
};
use crate::timelines::Timelines;
use crate::wal::{TextVerdict, WalFileName};

/// A file whose data is arriving, or is discarded because the file is refused.
pub(in crate::ship) struct FileInFlight {
    start: FileStart,
    decoder: Decoder,
    even_damaged: bool,
    state: Result<(WalFileName, Incoming), Refusal>,
}

/// Why arriving data could not be written.
enum Failure {
    Decode(DecodeError),
    Archive(ArchiveError),
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure::Decode(error)
    }
}

impl FileInFlight {
    pub(in crate::ship) fn begin(
        start: FileStart,
        archive: &Archive,
        hello: &Hello,
        mut decoder: Decoder,
    ) -> FileInFlight {
        let state = begin(&start, archive, hello, &mut decoder);
        FileInFlight { start, decoder, even_damaged: false, state }
    }

    /// The same into a scratch file, which gets no name in the archive.
    pub(in crate::ship) fn begin_scratch(
        start: FileStart,
        scratch: ScratchFile,
        hello: &Hello,
    ) -> FileInFlight {
        let mut decoder = Decoder::new();
        let state = checked_start(&start, hello, &mut decoder)
            .map(|name| (name, Incoming::to_scratch(scratch)));
        FileInFlight { start, decoder, even_damaged: false, state }
    }

    /// A file that is fetched, with damaged records too if that is wanted.
    pub(in crate::ship) fn fetched(self, even_damaged: bool) -> FileInFlight {
        FileInFlight { even_damaged, ..self }
    }

    pub(in crate::ship) fn id(&self) -> u32 {
        self.start.id
    }

    /// Adds the bytes of a DATA frame.
    pub(in crate::ship) fn add(&mut self, bytes: &[u8]) {
        self.write(|decoder, write| decoder.data(bytes, write));
    }

    /// Adds the zeros of a ZEROS frame.
    pub(in crate::ship) fn add_zeros(&mut self, length: u64) {
        self.write(|decoder, write| decoder.zeros(length, write));
    }

    fn write(
        &mut self,
        decode: impl FnOnce(
            &mut Decoder,
            &mut dyn FnMut(Piece<'_>) -> Result<(), Failure>,
        ) -> Result<(), Failure>,
    ) {
        let Ok((name, incoming)) = &mut self.state else { return };
        let write = &mut |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => incoming.write(bytes).map_err(Failure::Archive),
            Piece::Zeros(length) => incoming.write_zeros(length).map_err(Failure::Archive),
        };
        match decode(&mut self.decoder, write) {
            Ok(()) => {}
            Err(Failure::Archive(e)) => self.state = Err(refusal_of(&e)),
            Err(Failure::Decode(e)) => self.state = Err(damaged(*name, &e)),
        }
    }

    /// Ends its data, which has this CRC-32, and returns the decoder for the next file.
    pub(in crate::ship) fn end(&mut self, crc: u32) -> Decoder {
        if let Ok((name, _)) = &self.state
            && let Err(e) = self.decoder.finish(crc)
        {
            self.state = Err(damaged(*name, &e));
        }
        mem::take(&mut self.decoder)
    }

    /// Checks it and stores it durably, after its [end](FileInFlight::end).
    pub(in crate::ship) fn finish(
        self,
        archive: &Archive,
        receiver: &Receiver,
        hello: &Hello,
    ) -> Result<Stored, Refusal> {
        let data_directory = receiver.data_directory.as_deref();
        let (name, mut incoming) = self.state?;
        if let Some(at) = self.start.modified_time() {
            incoming.set_modified(at);
        }
        let file = incoming.reread().map_err(|e| refusal_of(&e))?;
        let content = check_content(name, self.start.size, file, hello).map_err(|e| unsound(&e))?;
        if let Content::Text(TextVerdict::Unneeded(bad)) = &content {
            log::warn!(
                "accepted a damaged file from {}, which no server of this version reads: {bad}",
                hello.label
            );
        }
        let layout = hello.layout();
        let timelines = Timelines::new(archive.path(), data_directory);
        if let WalFileName::Segment(segment) | WalFileName::Partial(segment) = name {
            let forked = |segment| {
                timelines.forked_before(segment, layout).map_err(|e| refusal_of(&e.into()))
            };
            let in_or_before = forked(layout.next(segment).unwrap_or(segment))?;
            let before = if in_or_before.is_some() { forked(segment)? } else { None };
            let abandoned = match (before, in_or_before) {
                (None, Some(later))
                    if matches!(name, WalFileName::Segment(_))
                        && receiver.is_primary_after(segment)? =>
                {
                    Some((later, "in"))
                }
                (before, _) => before.map(|later| (later, "before")),
            };
            if let Some((later, place)) = abandoned {
                let message = format!(
                    "{name} is not part of the cluster's history: timeline {} forked off {place} this segment (see \"{}\" on the receiving node). The sender continues an abandoned timeline. HINT: stop the sender's server and make it a standby: run configStandby --rejoin on it, or if that refuses, configStandby --overwrite on it and copyToStandby on the node that was promoted",
                    later.timeline,
                    later.history.display()
                );
                return Err(refusal(RefusalCode::PAST_FORK, false, message));
            }
        }
        if hello.purpose == Purpose::ShipWal {
            receiver.check_role(name, hello)?;
        }
        let _sender_stays = if hello.purpose == Purpose::FetchWal {
            // Fetched by this node: who sends to its archive stays the same.
            if !self.even_damaged {
                check_records(name, incoming.reread().map_err(|e| refusal_of(&e))?, &content)?;
            }
            None
        } else {
            receiver.bind(archive, hello, name, &mut incoming)?
        };
        if incoming.is_scratch() {
            return Ok(Stored::New);
        }
        let path = archive.path_of(name);
        let forks = || match name.segment().and_then(|segment| layout.next(segment)) {
            Some(next) => Ok(timelines.forked_before(next, layout)?.is_some()),
            None => Ok(false),
        };
        let stored = incoming.store(archive, name, |incoming, stored| {
            compare(name, (incoming, &content), (stored, &path), hello, forks)
        });
        let stored = stored.map_err(|e| match e {
            ArchiveError::Conflict(_) => {
                let advice = advice(name, &path, data_directory);
                refusal(RefusalCode::CONFLICT, false, format!("{e}. {advice}"))
            }
            e => refusal_of(&e),
        })?;
        if let (Some(standby), WalFileName::Segment(segment)) = (&hello.relay_for, name) {
            // This node's own standby removes what it no longer needs itself.
            archive.note_relayed(standby, segment).map_err(|e| refusal_of(&e))?;
        }
        if let (Stored::New, Purpose::ShipWal, WalFileName::Segment(segment)) =
            (stored, hello.purpose, name)
        {
            receiver.prune(archive, segment, layout);
        }
        Ok(stored)
    }
}

fn begin(
    start: &FileStart,
    archive: &Archive,
    hello: &Hello,
    decoder: &mut Decoder,
) -> Result<(WalFileName, Incoming), Refusal> {
    let name = checked_start(start, hello, decoder)?;
    let incoming = archive.begin(&start.name).map_err(|e| refusal_of(&e))?;
    Ok((name, incoming))
}

fn checked_start(
    start: &FileStart,
    hello: &Hello,
    decoder: &mut Decoder,
) -> Result<WalFileName, Refusal> {
    let name: WalFileName =
        start.name.parse().map_err(|e| refusal(RefusalCode::UNSOUND, false, e))?;
    check_size(name, start.size, hello.segment_size).map_err(|e| unsound(&e))?;
    decoder.begin(start.codec, start.size).map_err(|e| match e {
        DecodeError::Codec(_) => refusal(RefusalCode::CODEC, false, e),
        e => refusal(RefusalCode::ARCHIVE, true, e),
    })?;
    Ok(name)
}

fn unsound(error: &BadContent) -> Refusal {
    let code = match error {
        BadContent::Io { .. } => return refusal(RefusalCode::ARCHIVE, true, error),
        _ if error.is_foreign() => RefusalCode::ANOTHER_CLUSTER,
        _ => RefusalCode::UNSOUND,
    };
    refusal(code, false, error)
}

fn damaged(name: WalFileName, error: &DecodeError) -> Refusal {
    refusal(RefusalCode::DAMAGED, true, format!("{name} was damaged in transit: {error}"))
}
