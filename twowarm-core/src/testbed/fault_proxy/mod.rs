mod line;
mod relay;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::line::Line;
use self::relay::Connection;
use super::{BedError, Sshd};

/// The direction of a byte stream through a [`FaultProxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server behind the proxy.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What a [`FaultProxy`] does at a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Inverts the lowest bit of this byte.
    FlipBit,
    /// Closes the connection instead of passing this byte.
    Cut,
    /// Passes nothing from this byte on, on any connection and in both directions, until [`FaultProxy::resume`].
    Stall,
}

/// A TCP proxy on the loopback address: a network with a delay, a limited bandwidth and faults. It runs in this process
/// and ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    line: Arc<Line>,
    port: u16,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// A proxy to a port of the loopback address, without delay, limit or faults.
    pub fn to_port(target: u16) -> Result<FaultProxy, BedError> {
        let error = |error| BedError(format!("could not listen on the loopback address: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(error)?;
        let port = listener.local_addr().map_err(error)?.port();
        let (line, ended) = (Arc::new(Line::default()), Arc::new(AtomicBool::new(false)));
        let (their_line, their_ended) = (Arc::clone(&line), Arc::clone(&ended));
        let acceptor = thread::spawn(move || accept(&listener, target, &their_line, &their_ended));
        Ok(FaultProxy { line, port, ended, acceptor: Some(acceptor) })
    }

    /// A proxy to a node's sshd, also after [`Sshd::restart`]. See [`Node::reach_through`](super::Node::reach_through).
    pub fn to_sshd(sshd: &Sshd) -> Result<FaultProxy, BedError> {
        FaultProxy::to_port(sshd.port())
    }

    /// The TCP port on which the proxy accepts connections.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays the bytes in each direction from now on. A round trip takes twice this time, and so does the setup of a
    /// connection.
    pub fn delay(&self, each_way: Duration) {
        self.line.change(|state| state.delay = each_way);
    }

    /// Limits each direction, all connections together, to this number of bytes per second. 0 removes the limit.
    pub fn limit(&self, bytes_per_second: u64) {
        self.line.change(|state| state.bytes_per_second = bytes_per_second);
    }

    /// Passes no more bytes in either direction, on old and new connections, until [`FaultProxy::resume`]. The
    /// connections stay open, as when the network is interrupted.
    pub fn stall(&self) {
        self.line.change(|state| state.stalled = true);
    }

    /// Whether no bytes pass, because of [`FaultProxy::stall`] or [`Fault::Stall`].
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.line.ask(|state| state.stalled)
    }

    /// Ends [`FaultProxy::stall`]. Bytes that were held back are passed on.
    pub fn resume(&self) {
        self.line.change(|state| state.stalled = false);
    }

    /// Closes all connections now. Bytes in transit are lost. New connections are accepted.
    pub fn cut(&self) {
        self.line.close_all();
    }

    /// From now on closes all connections, old and new ones, as if the server were down, or accepts new ones again.
    pub fn refuse(&self, refuse: bool) {
        self.line.change(|state| state.refusing = refuse);
        if refuse {
            self.line.close_all();
        }
    }

    /// Schedules a fault for the first connection that passes the byte at `offset` in this direction, counted from the
    /// start of the connection. It happens once. Faults that were scheduled earlier remain.
    pub fn fault_at(&self, direction: Direction, offset: u64, fault: Fault) {
        self.line.change(|state| state.faults.push((direction, offset, fault)));
    }

    /// Cancels the scheduled faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.line.change(|state| state.faults.clear());
    }

    /// The number of scheduled faults that have not happened yet.
    #[must_use]
    pub fn pending_faults(&self) -> usize {
        self.line.ask(|state| state.faults.len())
    }

    /// The bytes that have been received from the sender of this direction, on all connections.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.line.ask(|state| state.bytes[direction as usize])
    }

    /// The number of connections that have been accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.line.ask(|state| state.accepted)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.refuse(true);
        self.resume();
        // Wakes accept(), so that the port is closed at once.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, target: u16, line: &Arc<Line>, ended: &AtomicBool) {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
    for client in listener.incoming().flatten() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        if line.admits() {
            let line = Arc::clone(line);
            thread::spawn(move || Connection::serve(client, target, &line));
        }
    }
}
