use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Place, SshError};
use crate::limits::within;

/// Connects to the first address of a host that answers, all within one time limit.
pub(super) fn connect(place: &Place, limit: Duration) -> Result<TcpStream, SshError> {
    let deadline = Instant::now() + limit;
    let addresses = resolve(place, limit)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (done, address) in addresses.iter().enumerate() {
        // Each gets its share, so that one which swallows packets leaves time for the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - done) as u32;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(100))) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(SshError::Connect { place: Box::new(place.clone()), source: last })
}

/// The system's resolver has no time limit of its own that we could set, so it works beside us.
fn resolve(place: &Place, limit: Duration) -> Result<Vec<SocketAddr>, SshError> {
    let failed = |source| SshError::Resolve { place: Box::new(place.clone()), source };
    let (name, port) = (place.host.clone(), place.port);
    let look_up = move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let timed_out = || Err(io::ErrorKind::TimedOut.into());
    let found = within(limit, look_up).and_then(|found| found.unwrap_or_else(timed_out));
    let found = found.map_err(failed)?;
    if found.is_empty() { Err(failed(io::ErrorKind::NotFound.into())) } else { Ok(found) }
}
