use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::limits::within;

/// SSH2_AGENTC_REQUEST_IDENTITIES, SSH2_AGENT_IDENTITIES_ANSWER.
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
/// The longest message of an agent, in bytes; the same as OpenSSH's limit.
const MAX_MESSAGE: u32 = 256 * 1024;

/// Asks an agent for its keys, to find out whether it answers: libssh2 would wait without a limit. It
/// still does for an agent that answers here and hangs later, for example to ask its user for
/// confirmation.
///
/// Fails with [`TimedOut`](io::ErrorKind::TimedOut) if there is no answer in time.
pub(super) fn answers(socket: &Path, limit: Duration) -> io::Result<()> {
    let socket = socket.to_owned();
    // On another thread, since connecting has no time limit; with limits, so that the thread ends too.
    let answer = within(limit, move || ask(&socket, limit))?.ok_or(io::ErrorKind::TimedOut)?;
    // A socket reports its time limit as WouldBlock.
    answer.map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => e,
    })
}

fn ask(socket: &Path, limit: Duration) -> io::Result<()> {
    let mut agent = UnixStream::connect(socket)?;
    agent.set_read_timeout(Some(limit))?;
    agent.set_write_timeout(Some(limit))?;
    agent.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES])?;
    let mut length = [0; 4];
    agent.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of an ssh agent");
    if !(1..=MAX_MESSAGE).contains(&length) {
        return Err(bad());
    }
    let mut message = vec![0; length as usize];
    agent.read_exact(&mut message)?;
    if message.first() == Some(&IDENTITIES) { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(300);

    /// The error about an agent that answers with exactly these bytes.
    fn error_for(text: &'static [u8]) -> Option<io::ErrorKind> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            client.read_exact(&mut [0; 5]).unwrap();
            client.write_all(text).unwrap();
            // The connection stays open until the client closes it.
            let _ = client.read(&mut [0]);
        });
        answers(&socket, LIMIT).err().map(|e| e.kind())
    }

    #[test]
    fn an_agent_must_answer_completely_and_in_time() {
        assert_eq!(error_for(&[0, 0, 0, 5, IDENTITIES, 0, 0, 0, 0]), None);
        assert_eq!(error_for(&[0, 0, 0, 1, 5]), Some(io::ErrorKind::InvalidData));
        assert_eq!(error_for(&[0, 0, 0, 0]), Some(io::ErrorKind::InvalidData));
        assert_eq!(error_for(b"SSH-2.0-x"), Some(io::ErrorKind::InvalidData));
        for part in [&[] as &[u8], &[0, 0], &[0, 0, 0, 5, IDENTITIES, 0]] {
            assert_eq!(error_for(part), Some(io::ErrorKind::TimedOut), "{part:?}");
        }
    }

    #[test]
    fn an_agent_that_does_not_accept_connections_times_out() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        assert_eq!(answers(&socket, LIMIT).unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(answers(&socket, LIMIT).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
