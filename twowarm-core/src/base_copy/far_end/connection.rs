use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use super::FarEndError;
use crate::base_copy::CopyMessage;
use crate::ship::while_working;
use crate::ship::wire::{
    FIRST_OWN_KIND, Frame, Message, Refusal, SESSION, WireError, read_frame, read_greeting,
    write_frame, write_greeting,
};

/// The connection to the near end.
pub(super) struct Connection<R, W> {
    input: R,
    output: Mutex<W>,
}

/// A message: of all connections, or of base copies.
pub(super) enum Received {
    Common(Message),
    Copy(CopyMessage),
}

impl Received {
    pub(super) fn unexpected(&self) -> FarEndError {
        unexpected(match self {
            Received::Common(message) => message.kind(),
            Received::Copy(message) => message.kind(),
        })
    }
}

pub(super) fn unexpected(kind: u8) -> FarEndError {
    WireError::Unexpected(kind).into()
}

impl<R: Read, W: Write + Send> Connection<R, W> {
    pub(super) fn new(input: R, output: W) -> Connection<R, W> {
        Connection { input, output: Mutex::new(output) }
    }

    pub(super) fn greet(&mut self) -> Result<(), WireError> {
        let output = self.output.get_mut().unwrap_or_else(PoisonError::into_inner);
        write_greeting(output).map_err(WireError::Io)?;
        read_greeting(&mut self.input)
    }

    pub(super) fn receive(&mut self) -> Result<Received, WireError> {
        let frame = read_frame(&mut self.input)?;
        if frame.kind < FIRST_OWN_KIND {
            Message::parse(&frame).map(Received::Common)
        } else {
            CopyMessage::parse(&frame).map(Received::Copy)
        }
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), WireError> {
        write(&self.output, &message.frame())
    }

    pub(super) fn send_copy(&self, message: &CopyMessage) -> Result<(), WireError> {
        write(&self.output, &Frame { kind: message.kind(), payload: message.payload() })
    }

    /// Tells the near end why the copy is refused.
    pub(super) fn refuse(&self, error: &FarEndError) {
        // The near end is gone.
        if matches!(error, FarEndError::Wire(WireError::Closed | WireError::Cut | WireError::Io(_)))
        {
            return;
        }
        let (code, retryable) = error.code();
        let refusal = Refusal { id: SESSION, code, retryable, message: error.to_string() };
        let _ = self.send(&Message::Refused(refusal));
    }

    /// Does work that may take long, and sends WORKING meanwhile.
    pub(super) fn while_working<T>(&self, work: impl FnOnce() -> T) -> T {
        while_working(&self.output, work)
    }
}

fn write<W: Write>(output: &Mutex<W>, frame: &Frame) -> Result<(), WireError> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    write_frame(&mut *output, frame.kind, &[&frame.payload]).map_err(WireError::Io)
}
