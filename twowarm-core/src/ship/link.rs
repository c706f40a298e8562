use std::io;

use super::transport::{ConnectError, Connection, FarCommand, Transport};
use super::wire::{
    Frame, Hello, Message, Refusal, SESSION, Welcome, WireError, read_frame, read_greeting,
    write_frame, write_greeting,
};

/// The near end of a connection to a far command that has accepted our hello.
pub struct Link {
    connection: Box<dyn Connection>,
    node: String,
    command: FarCommand,
    welcome: Welcome,
}

/// What went wrong between two nodes.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{command} on {node} ended: {words}")]
    Ended { node: String, command: &'static str, words: String },
    #[error("{node}: no progress within the time limit; its network, its disk or {command} hangs")]
    Stalled { node: String, command: &'static str },
    #[error("{node}: {source}")]
    Wire { node: String, source: WireError },
    #[error("{node} refused: {}", refusal.message)]
    Refused { node: String, refusal: Refusal },
}

impl LinkError {
    /// Whether the same again may go well.
    pub fn is_retryable(&self) -> bool {
        match self {
            LinkError::Connect(error) => error.is_retryable(),
            LinkError::Ended { .. } | LinkError::Stalled { .. } => true,
            LinkError::Wire { source, .. } => source.is_retryable(),
            LinkError::Refused { refusal, .. } => refusal.retryable,
        }
    }
}

impl Link {
    /// Starts the far command, greets it and waits until it accepts the hello.
    pub fn open(transport: &dyn Transport, hello: Hello) -> Result<Link, LinkError> {
        let mut link = Link {
            connection: transport.connect()?,
            node: transport.node().to_owned(),
            command: transport.command(),
            welcome: Welcome { label: String::new(), archive: String::new(), codecs: 0 },
        };
        let greeted = write_greeting(&mut link.connection);
        if greeted.is_ok() {
            let hello = Message::Hello(hello);
            // If this fails, what the far side has said before tells why.
            let _ = write_frame(&mut link.connection, hello.kind(), &[&hello.payload()]);
        }
        if let Err(e) = read_greeting(&mut link.connection) {
            return Err(link.failed(e));
        }
        let frame = link.receive()?;
        match Message::parse(&frame) {
            Ok(Message::Welcome(welcome)) => link.welcome = welcome,
            Ok(Message::Refused(refusal)) => return Err(link.refused(refusal)),
            Ok(other) => return Err(link.failed(WireError::Unexpected(other.kind()))),
            Err(e) => return Err(link.failed(e)),
        }
        Ok(link)
    }

    /// What the far node said of itself.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The far node's name as configured here, for messages.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Sends a frame whose payload is given in parts.
    pub fn send_frame(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), LinkError> {
        let Err(error) = write_frame(&mut self.connection, kind, parts) else { return Ok(()) };
        if error.kind() == io::ErrorKind::TimedOut {
            return Err(self.failed(WireError::Io(error)));
        }
        // The far side has gone; it may have said why before.
        loop {
            match read_frame(&mut self.connection).and_then(|frame| Message::parse(&frame)) {
                Ok(Message::Refused(refusal)) if refusal.id == SESSION => {
                    return Err(self.refused(refusal));
                }
                Ok(_) => {}
                Err(_) => return Err(self.failed(WireError::Io(error))),
            }
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Message) -> Result<(), LinkError> {
        self.send_frame(message.kind(), &[&message.payload()])
    }

    /// Waits for the next frame; frames that only say that the far side is at work are left out.
    pub fn receive(&mut self) -> Result<Frame, LinkError> {
        loop {
            match read_frame(&mut self.connection) {
                Ok(frame) if frame.kind == Message::Working.kind() => {}
                Ok(frame) => return Ok(frame),
                Err(e) => return Err(self.failed(e)),
            }
        }
    }

    /// Waits for the next message of the protocol's own; a refusal of the whole session is an error.
    pub fn receive_message(&mut self) -> Result<Message, LinkError> {
        let frame = self.receive()?;
        match Message::parse(&frame) {
            Ok(Message::Refused(refusal)) if refusal.id == SESSION => Err(self.refused(refusal)),
            Ok(message) => Ok(message),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Says goodbye and waits for the far command to end. What was acknowledged stays so, whatever
    /// happens here.
    pub fn close(mut self) {
        let goodbye = Message::Goodbye;
        if write_frame(&mut self.connection, goodbye.kind(), &[]).is_ok()
            && let Some(words) = self.connection.last_words()
        {
            log::debug!("{} on {}: {words}", self.command.name(), self.node);
        }
    }

    /// Says goodbye and goes, without waiting for the far command to end: for whoever has been told
    /// all that matters, and has a server waiting.
    pub fn leave(mut self) {
        let _ = write_frame(&mut self.connection, Message::Goodbye.kind(), &[]);
    }

    /// A refusal as an error.
    pub fn refused(&self, refusal: Refusal) -> LinkError {
        LinkError::Refused { node: self.node.clone(), refusal }
    }

    /// An error about this connection. One that only says that the far side has gone becomes what that
    /// side said last.
    pub fn failed(&mut self, error: WireError) -> LinkError {
        let (node, command) = (self.node.clone(), self.command.name());
        match error {
            WireError::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
                LinkError::Stalled { node, command }
            }
            WireError::Closed | WireError::Cut | WireError::Io(_) => {
                let words = self.connection.last_words();
                let words = words.unwrap_or_else(|| format!("without an answer ({error})"));
                LinkError::Ended { node, command, words }
            }
            other => LinkError::Wire { node, source: other },
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("node", &self.node).field("command", &self.command).finish()
    }
}
