use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Address, SshError};
use crate::limits::within;

/// Connects to the first address of a host that answers, all within one time limit.
pub(super) fn connect(address: &Address, limit: Duration) -> Result<TcpStream, SshError> {
    let deadline = Instant::now() + limit;
    let addresses = resolve(address, limit)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (done, candidate) in addresses.iter().enumerate() {
        // Each gets an equal share, so that an address which drops packets leaves time for the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - done) as u32;
        match TcpStream::connect_timeout(candidate, share.max(Duration::from_millis(100))) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(SshError::Connect { address: Box::new(address.clone()), error: last })
}

/// The system's resolver has no time limit that can be set, so it runs on another thread.
fn resolve(address: &Address, limit: Duration) -> Result<Vec<SocketAddr>, SshError> {
    let failed = |error| SshError::Resolve { address: Box::new(address.clone()), error };
    let (name, port) = (address.host.clone(), address.port);
    let look_up = move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let timed_out = || Err(io::ErrorKind::TimedOut.into());
    let found = within(limit, look_up).and_then(|found| found.unwrap_or_else(timed_out));
    let found = found.map_err(failed)?;
    if found.is_empty() { Err(failed(io::ErrorKind::NotFound.into())) } else { Ok(found) }
}
