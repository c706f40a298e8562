use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::line::Line;
use super::{Direction, Fault};

/// Bytes per read.
const CHUNK: usize = 16 << 10;
/// Chunks in transit per connection and direction: 64 MB, so that the TCP window is never the limit.
const IN_TRANSIT: usize = 4096;

/// A client's connection and the proxy's connection to the server.
#[derive(Debug)]
pub(super) struct Connection {
    client: TcpStream,
    server: TcpStream,
}

type Chunk = (Instant, Vec<u8>);

impl Connection {
    /// Passes bytes in both directions until both have ended.
    pub(super) fn serve(client: TcpStream, target: SocketAddr, line: &Arc<Line>) {
        let delay = line.ask(|state| state.delay);
        thread::sleep(2 * delay);
        line.wait_until_passable();
        let Ok(server) = TcpStream::connect(target) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let connection = Arc::new(Connection { client, server });
        if !line.register(Arc::downgrade(&connection)) {
            return;
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (send, receive) = sync_channel(IN_TRANSIT);
            let (reading, line_in) = (Arc::clone(&connection), Arc::clone(line));
            thread::spawn(move || reading.read(direction, &line_in, &send));
            let (writing, line_out) = (Arc::clone(&connection), Arc::clone(line));
            thread::spawn(move || writing.write(direction, &line_out, &receive));
        }
    }

    pub(super) fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        }
    }

    fn read(&self, direction: Direction, line: &Line, to: &SyncSender<Chunk>) {
        let mut from = self.ends(direction).0;
        let mut offset = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            line.wait_until_passable();
            let length = match from.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => length,
            };
            let mut passed = 0;
            for (at, fault) in line.take_faults(direction, offset, length) {
                match fault {
                    Fault::FlipBit => buffer[at] ^= 1,
                    Fault::Cut | Fault::Stall => {
                        put(line, direction, &buffer[passed..at], to);
                        passed = at;
                    }
                }
                match fault {
                    Fault::FlipBit => {}
                    Fault::Cut => return self.close_after(to),
                    Fault::Stall => {
                        line.change(|state| state.stalled = true);
                        line.wait_until_passable();
                    }
                }
            }
            put(line, direction, &buffer[passed..length], to);
            offset += length as u64;
        }
    }

    /// An empty chunk tells the writer to close the connection.
    fn close_after(&self, to: &SyncSender<Chunk>) {
        if to.send((Instant::now(), Vec::new())).is_err() {
            self.close();
        }
    }

    fn write(&self, direction: Direction, line: &Line, from: &Receiver<Chunk>) {
        let mut to = self.ends(direction).1;
        for (arrives, bytes) in from {
            thread::sleep(arrives.saturating_duration_since(Instant::now()));
            line.wait_until_passable();
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                return self.close();
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Puts bytes on the line and waits until they are sent, as a full send queue does.
fn put(line: &Line, direction: Direction, bytes: &[u8], to: &SyncSender<Chunk>) {
    if !bytes.is_empty() {
        let schedule = line.send(direction, bytes.len());
        let _ = to.send((schedule.arrives, bytes.to_vec()));
        thread::sleep(schedule.sent.saturating_duration_since(Instant::now()));
    }
}
