use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use ssh2::{Channel, ErrorCode, Session};

use super::{Place, SshError, SshTransport, host_key, login, tcp};
use crate::ship::transport::{Connection, FarCommand, last_line};

/// A far command that runs, over ssh.
pub(super) struct SshConnection {
    channel: Channel,
    _session: Session,
    socket: TcpStream,
    command: FarCommand,
}

impl SshTransport {
    /// Connects, checks the host key, logs in and starts the command.
    pub(super) fn open(&self) -> Result<SshConnection, SshError> {
        let known = host_key::known_keys(self)?;
        let stream = tcp::connect(&self.place(), self.time_limit)?;
        let broken = |source| SshError::Connect { place: self.place(), source };
        let socket = stream.try_clone().map_err(broken)?;
        let start = |e| self.failed("starting", e);
        let mut session = Session::new().map_err(start)?;
        // It holds for every call, and every call ends with some progress: so a limit for each is a
        // limit on the lack of progress.
        session.set_timeout(u32::try_from(self.time_limit.as_millis()).unwrap_or(u32::MAX));
        session.set_tcp_stream(stream);
        host_key::prefer_known(&session, &known);
        session.handshake().map_err(|e| self.failed("waiting for its answer", e))?;
        host_key::check(&session, self, &known)?;
        login::log_in(&session, self)?;
        let run = |e| self.failed("starting the command", e);
        let mut channel = session.channel_session().map_err(run)?;
        channel.exec(&self.program).map_err(run)?;
        Ok(SshConnection { channel, _session: session, socket, command: self.command })
    }

    /// Where the node is looked for.
    pub(super) fn place(&self) -> Box<Place> {
        Box::new(Place { node: self.node.clone(), host: self.host.clone(), port: self.port })
    }

    /// What libssh2 said, as an error that says whose and when.
    pub(super) fn failed(&self, phase: &'static str, source: ssh2::Error) -> SshError {
        let place = self.place();
        if timed_out(&source) {
            SshError::Stalled { place, phase, limit: self.time_limit }
        } else {
            SshError::Protocol { place, phase, source }
        }
    }
}

/// Whether libssh2 gave up waiting.
pub(super) fn timed_out(error: &ssh2::Error) -> bool {
    const TIMEOUT: i32 = -9;
    const SOCKET_TIMEOUT: i32 = -30;
    matches!(error.code(), ErrorCode::Session(TIMEOUT | SOCKET_TIMEOUT))
}

fn as_io(error: io::Error) -> io::Error {
    // A limit that struck is told in more than one way.
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for SshConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.channel.read(buffer).map_err(as_io)
    }
}

impl Write for SshConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.write(bytes).map_err(as_io)
    }

    /// Every write is sent at once. (libssh2's own flush would throw away what has come in.)
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for SshConnection {
    fn last_words(&mut self) -> Option<String> {
        const ENOUGH: u64 = 64 * 1024;
        let _ = self.channel.send_eof();
        let mut said = Vec::new();
        let _ = self.channel.stderr().take(ENOUGH).read_to_end(&mut said);
        let _ = self.channel.wait_close();
        let line = last_line(&String::from_utf8_lossy(&said));
        let status = self.channel.exit_status().unwrap_or(0);
        match (line, status) {
            // The shell's codes for a command that isn't there, or may not be run.
            (line, 126 | 127) => Some(format!(
                "{} is not there or can't be run ({}): {}",
                self.command.name(),
                line.unwrap_or_else(|| format!("exit code {status}")),
                self.command.if_missing()
            )),
            (Some(line), _) => Some(line),
            (None, 0) => None,
            (None, status) => Some(format!("exit code {status}")),
        }
    }
}

impl Drop for SshConnection {
    /// Without this, freeing the channel of a connection that hangs would wait another time limit.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
