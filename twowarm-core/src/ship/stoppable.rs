use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::transport::{ConnectError, Connection, FarCommand, Transport};

/// A transport whose connections time out at their next read or write once a flag is set, so that another
/// thread that uses one ends soon.
#[derive(Debug, Clone)]
pub(super) struct Stoppable<T> {
    transport: T,
    stop: Arc<AtomicBool>,
}

impl<T: Transport> Stoppable<T> {
    /// Times out once `stop` is true.
    pub(super) fn new(transport: T, stop: Arc<AtomicBool>) -> Stoppable<T> {
        Stoppable { transport, stop }
    }
}

impl<T: Transport> Transport for Stoppable<T> {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let connection = self.transport.connect()?;
        Ok(Box::new(StoppableConnection { connection, stop: Arc::clone(&self.stop) }))
    }

    fn node(&self) -> &str {
        self.transport.node()
    }

    fn command(&self) -> FarCommand {
        self.transport.command()
    }
}

struct StoppableConnection {
    connection: Box<dyn Connection>,
    stop: Arc<AtomicBool>,
}

impl StoppableConnection {
    fn check(&self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl Read for StoppableConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.connection.read(buffer)
    }
}

impl Write for StoppableConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.connection.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

impl Connection for StoppableConnection {
    fn last_words(&mut self) -> Option<String> {
        self.check().ok().and_then(|()| self.connection.last_words())
    }

    fn has_arrived(&mut self) -> bool {
        self.connection.has_arrived()
    }

    fn connect_failure(&mut self) -> Option<ConnectError> {
        self.check().ok().and_then(|()| self.connection.connect_failure())
    }
}
