use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::BedError;

/// A port that accepts connections and never answers, like a node that hangs.
#[derive(Debug)]
pub struct StallingListener {
    // The kernel completes connections by itself.
    listener: TcpListener,
    port: u16,
    accepted: Vec<TcpStream>,
}

impl StallingListener {
    /// Listens on a free port of the loopback address until it is dropped.
    pub fn start() -> Result<StallingListener, BedError> {
        let error = |error| BedError(format!("could not listen on the loopback address: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(error)?;
        let port = listener.local_addr().map_err(error)?.port();
        listener.set_nonblocking(true).map_err(error)?;
        Ok(StallingListener { listener, port, accepted: Vec::new() })
    }

    /// The number of connections since the start.
    pub fn connections(&mut self) -> usize {
        while let Ok((connection, _)) = self.listener.accept() {
            self.accepted.push(connection);
        }
        self.accepted.len()
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
