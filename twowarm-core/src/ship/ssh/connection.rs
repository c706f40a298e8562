use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::time::{Duration, Instant};

use ssh2::{Channel, ErrorCode, MethodType, Session};

use super::target::Target;
use super::{SshError, host_key, login};
use crate::reach::last_line;
use crate::ship::transport::{Connection, FarCommand};

/// A far command that runs over ssh.
pub(super) struct SshConnection {
    channel: Channel,
    session: Session,
    socket: TcpStream,
    /// What was read before it was asked for.
    arrived: VecDeque<u8>,
    command: FarCommand,
    round_trip: Duration,
}

impl Target {
    /// Checks the host key, logs in and starts the command.
    pub(super) fn open(&self, stream: TcpStream) -> Result<SshConnection, SshError> {
        let known = host_key::known_keys(self)?;
        let broken = |error| SshError::Connect { address: self.address.clone(), error };
        let socket = stream.try_clone().map_err(broken)?;
        let start = |e| self.failed("starting", e);
        let mut session = Session::new().map_err(start)?;
        // A limit for each call. Every call makes some progress, so this limits the time without any.
        session.set_timeout(u32::try_from(self.time_limit.as_millis()).unwrap_or(u32::MAX));
        session.set_tcp_stream(stream);
        host_key::prefer_known(&session, &known);
        prefer_fast_ciphers(&session);
        session.handshake().map_err(|e| self.failed("waiting for sshd to answer", e))?;
        host_key::check(&session, self, &known)?;
        login::log_in(&session, self)?;
        let run = |e| self.failed("starting the command", e);
        // sshd answers this without doing anything else.
        let asked = Instant::now();
        let mut channel = open_channel(&session, &socket).map_err(run)?;
        let round_trip = asked.elapsed();
        channel.exec(&self.program).map_err(run)?;
        let command = self.command;
        if !command.has_input() {
            channel.send_eof().map_err(run)?;
        }
        Ok(SshConnection {
            channel,
            session,
            socket,
            arrived: VecDeque::new(),
            command,
            round_trip,
        })
    }
}

/// Prefers AES-GCM where the processor has instructions for it: libssh2's chacha20-poly1305, its default, takes several
/// times as long.
fn prefer_fast_ciphers(session: &Session) {
    if !has_aes() {
        return;
    }
    for direction in [MethodType::CryptCs, MethodType::CryptSc] {
        let Ok(supported) = session.supported_algs(direction) else { continue };
        let (first, rest): (Vec<&str>, Vec<&str>) =
            supported.iter().partition(|name| name.contains("-gcm@"));
        // Fails only if none is supported, which the handshake then reports.
        let _ = session.method_pref(direction, &[first, rest].concat().join(","));
    }
}

/// Whether the processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Opens a channel without the delay of 40 ms that sshd's next message would have: sshd does not set
/// TCP_NODELAY, so its second message waits for the acknowledgement of the first, and the kernel of this
/// machine delays that while there is nothing to send.
fn open_channel(session: &Session, socket: &TcpStream) -> Result<Channel, ssh2::Error> {
    const AGAIN: ErrorCode = ErrorCode::Session(-37);
    session.set_blocking(false);
    let requested = session.channel_session();
    session.set_blocking(true);
    match requested {
        Err(e) if e.code() == AGAIN => {
            acknowledge_at_once(socket);
            session.channel_session()
        }
        opened => opened,
    }
}

/// Acknowledges at once what has arrived and what arrives until data is sent.
fn acknowledge_at_once(socket: &TcpStream) {
    // Without it the connection is slower.
    let _ = socket.set_quickack(true);
}

fn as_io(error: io::Error) -> io::Error {
    // libssh2's time limit and the socket's have different kinds.
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for SshConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.arrived.is_empty() {
            return self.arrived.read(buffer);
        }
        acknowledge_at_once(&self.socket);
        self.channel.read(buffer).map_err(as_io)
    }
}

impl Write for SshConnection {
    /// While the far side is busy with an earlier file, it reads nothing but sends heartbeats: they count as
    /// progress too.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let arrived = self.channel.read_window().available;
            match self.channel.write(bytes).map_err(as_io) {
                Err(e)
                    if e.kind() == io::ErrorKind::TimedOut
                        && self.channel.read_window().available > arrived => {}
                written => return written,
            }
        }
    }

    /// Every write is sent at once. (libssh2's own flush would discard data that has arrived.)
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for SshConnection {
    fn last_words(&mut self) -> Option<String> {
        const MAX_BYTES: u64 = 64 * 1024;
        let _ = self.channel.send_eof();
        let mut stderr = Vec::new();
        let _ = self.channel.stderr().take(MAX_BYTES).read_to_end(&mut stderr);
        let _ = self.channel.wait_close();
        let line = last_line(&String::from_utf8_lossy(&stderr));
        self.command.ending(Some(self.channel.exit_status().unwrap_or(0)), line)
    }

    fn has_arrived(&mut self) -> bool {
        if self.arrived.is_empty() {
            let mut buffer = [0; 1024];
            self.session.set_blocking(false);
            // An error comes again with the next read.
            let read = self.channel.read(&mut buffer).unwrap_or(0);
            self.session.set_blocking(true);
            self.arrived.extend(&buffer[..read]);
        }
        !self.arrived.is_empty()
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(self.round_trip)
    }
}

impl Drop for SshConnection {
    /// Otherwise libssh2 would wait for another time limit to free the channel of a stalled connection.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
