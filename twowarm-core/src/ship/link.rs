use std::io;
use std::time::{Duration, Instant};

use super::transport::{ConnectError, Connection, FarCommand, Transport};
use super::wire::{
    Frame, Hello, Message, Refusal, SESSION, Welcome, WireError, read_frame, read_greeting,
    write_frame, write_greeting,
};
use crate::retry::Retryable;

/// A connection to a far command that has accepted this node's hello.
pub struct Link {
    connection: Box<dyn Connection>,
    node: String,
    command: FarCommand,
    welcome: Welcome,
}

/// Why the communication with another node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The far command could not be started.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The far command ended.
    #[error("{command} on {node} ended: {message}")]
    Ended {
        /// The node.
        node: String,
        /// The command.
        command: &'static str,
        /// The last line of its messages, or how it ended.
        message: String,
    },
    /// The other side made no progress.
    #[error("{node}: no progress within the time limit; its network, its disk or {command} hangs")]
    Stalled {
        /// The node.
        node: String,
        /// The command.
        command: &'static str,
    },
    /// The other side violated the protocol.
    #[error("{node}: {error}")]
    Wire {
        /// The node.
        node: String,
        /// The violation.
        error: WireError,
    },
    /// The other side can't store the receipt of a clean shutdown.
    #[error(
        "{node} cannot store the receipt of a clean shutdown: its receiveWALFile is too old, or it receives WAL by rsync. HINT: update twowarm on {node} (distrib2warm); with carrier \"rsync\", install receiveWALFile there and remove that setting from 2warm/local/2warm.toml"
    )]
    NoReceipts {
        /// The node.
        node: String,
    },
    /// The other side refused a request or the whole session.
    #[error("{node} refused: {}", refusal.message)]
    Refused {
        /// The node.
        node: String,
        /// The refusal.
        refusal: Refusal,
    },
}

impl Retryable for LinkError {
    fn is_retryable(&self) -> bool {
        match self {
            LinkError::Connect(error) => error.is_retryable(),
            LinkError::Ended { .. } | LinkError::Stalled { .. } => true,
            LinkError::Wire { error, .. } => error.is_retryable(),
            LinkError::Refused { refusal, .. } => refusal.retryable,
            LinkError::NoReceipts { .. } => false,
        }
    }
}

impl Link {
    /// Starts the far command, sends greeting and hello, and waits until the hello is accepted.
    ///
    /// # Errors
    /// If the command can't be started, refuses the hello or does not answer.
    pub fn open(transport: &dyn Transport, hello: Hello) -> Result<Link, LinkError> {
        let mut link = Link {
            connection: transport.connect()?,
            node: transport.node().to_owned(),
            command: transport.command(),
            welcome: Welcome::default(),
        };
        let greeted = write_greeting(&mut link.connection);
        if greeted.is_ok() {
            let hello = Message::Hello(hello);
            // If this fails, the far side's answer, read below, has the reason.
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

    /// The far node's answer to the hello.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// As if the far node were another version.
    #[cfg(test)]
    pub(super) fn set_understands(&mut self, understands: super::wire::Capabilities) {
        self.welcome.understands = understands;
    }

    /// How long a message to the far node and its answer take, if the transport has measured that.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.connection.round_trip()
    }

    /// The far node's name in this node's configuration, for messages.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Sends a frame whose payload is given in parts.
    ///
    /// # Errors
    /// If the connection breaks or stalls, with the far side's refusal if it has sent one.
    pub(crate) fn send_frame(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), LinkError> {
        let Err(error) = write_frame(&mut self.connection, kind, parts) else { return Ok(()) };
        if error.kind() == io::ErrorKind::TimedOut {
            return Err(self.failed(WireError::Io(error)));
        }
        // The far side has ended; it may have sent a refusal before.
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
    pub(crate) fn send(&mut self, message: &Message) -> Result<(), LinkError> {
        self.send_frame(message.kind(), &[&message.payload()])
    }

    /// Waits for the next frame. Heartbeats of the far side are skipped.
    pub(crate) fn receive(&mut self) -> Result<Frame, LinkError> {
        self.receive_within(Duration::MAX)
    }

    /// Waits for the next frame; at most for this time while only heartbeats arrive.
    fn receive_within(&mut self, limit: Duration) -> Result<Frame, LinkError> {
        let begun = Instant::now();
        loop {
            match read_frame(&mut self.connection) {
                Ok(frame) if frame.kind == Message::Working.kind() => {
                    if begun.elapsed() >= limit {
                        return Err(self.failed(WireError::Io(io::ErrorKind::TimedOut.into())));
                    }
                }
                Ok(frame) => return Ok(frame),
                Err(e) => return Err(self.failed(e)),
            }
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// As [`receive`](Link::receive); also if the far side refuses the session.
    pub(crate) fn receive_message(&mut self) -> Result<Message, LinkError> {
        self.receive_message_within(Duration::MAX)
    }

    /// The same, at most for this time while only heartbeats arrive.
    pub(crate) fn receive_message_within(&mut self, limit: Duration) -> Result<Message, LinkError> {
        let frame = self.receive_within(limit)?;
        self.parse(&frame)
    }

    fn parse(&mut self, frame: &Frame) -> Result<Message, LinkError> {
        match Message::parse(frame) {
            Ok(Message::Refused(refusal)) if refusal.id == SESSION => Err(self.refused(refusal)),
            Ok(message) => Ok(message),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Reads a message if one has arrived; heartbeats of the far side are skipped.
    ///
    /// # Errors
    /// As [`receive_message`](Link::receive_message).
    pub(crate) fn arrived_message(&mut self) -> Result<Option<Message>, LinkError> {
        while self.connection.has_arrived() {
            let frame = read_frame(&mut self.connection).map_err(|e| self.failed(e))?;
            if frame.kind != Message::Working.kind() {
                return self.parse(&frame).map(Some);
            }
        }
        Ok(None)
    }

    /// Says goodbye and waits for the far command to end. A failure is ignored: it does not affect what was
    /// acknowledged.
    pub fn close(mut self) {
        let goodbye = Message::Goodbye;
        if write_frame(&mut self.connection, goodbye.kind(), &[]).is_ok()
            && let Some(message) = self.connection.last_words()
        {
            log::debug!("{} on {}: {message}", self.command.name(), self.node);
        }
    }

    /// Says goodbye and disconnects without waiting for the far command to end.
    pub fn leave(mut self) {
        let _ = write_frame(&mut self.connection, Message::Goodbye.kind(), &[]);
    }

    /// A refusal as an error.
    pub(crate) fn refused(&self, refusal: Refusal) -> LinkError {
        LinkError::Refused { node: self.node.clone(), refusal }
    }

    /// An error of this connection. If the far side has ended, its last message is part of it.
    pub(crate) fn failed(&mut self, error: WireError) -> LinkError {
        let (node, command) = (self.node.clone(), self.command.name());
        match error {
            WireError::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
                LinkError::Stalled { node, command }
            }
            WireError::Closed | WireError::Cut | WireError::Io(_) => {
                if let Some(error) = self.connection.connect_failure() {
                    return error.into();
                }
                let message = self.connection.last_words();
                let message = message.unwrap_or_else(|| format!("no answer ({error})"));
                LinkError::Ended { node, command, message }
            }
            other => LinkError::Wire { node, error: other },
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("node", &self.node).field("command", &self.command).finish()
    }
}
