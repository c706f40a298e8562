use std::net::{Ipv4Addr, TcpListener};

use super::BedError;

/// A port that accepts connections and never answers, like a node that hangs.
#[derive(Debug)]
pub struct StallingListener {
    // The kernel completes connections by itself.
    _listener: TcpListener,
    port: u16,
}

impl StallingListener {
    /// Listens on a free port of the loopback address until it is dropped.
    pub fn start() -> Result<StallingListener, BedError> {
        let error = |error| BedError(format!("could not listen on the loopback address: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(error)?;
        let port = listener.local_addr().map_err(error)?.port();
        Ok(StallingListener { _listener: listener, port })
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
