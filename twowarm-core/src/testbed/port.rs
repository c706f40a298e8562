use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use super::BedError;

/// Below the ports that the kernel hands out to connections, so that a port which is free while a
/// node is "dead" is not taken by somebody's connection before the node comes back.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on the loopback address that nobody listens on just now. Test processes that run side by
/// side start looking at different places.
pub(super) fn free_port() -> Result<u16, BedError> {
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + offset) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(BedError("no port on the loopback address is free".to_owned()))
}
