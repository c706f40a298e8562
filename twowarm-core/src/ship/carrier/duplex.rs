use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How many bytes are read at a time while a write waits.
const BUFFER: usize = 64 * 1024;

/// Two pipes or sockets to the far end. A read or write without progress for the time limit fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
#[derive(Debug)]
pub(super) struct Duplex<R, W> {
    input: R,
    output: W,
    /// What has arrived while a write waited.
    arrived: Vec<u8>,
    limit: PollTimeout,
}

impl<R: Read + AsFd, W: Write + AsFd> Duplex<R, W> {
    /// Neither side may have a buffer: [`poll`] does not see it.
    pub(super) fn new(input: R, output: W, limit: Duration) -> io::Result<Duplex<R, W>> {
        // Otherwise the write of more than a pipe can take would wait without a limit.
        let flags = OFlag::from_bits_retain(fcntl(&output, FcntlArg::F_GETFL)?);
        fcntl(&output, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        Ok(Duplex { input, output, arrived: Vec::new(), limit })
    }

    /// Whether data can be read without waiting.
    pub(super) fn has_arrived(&self) -> bool {
        let mut fds = [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)];
        !self.arrived.is_empty() || poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Waits until one of the directions is ready.
    fn wait(&self, for_output: bool, for_input: bool) -> io::Result<Ready> {
        let events = |wanted, flags| if wanted { flags } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(self.output.as_fd(), events(for_output, PollFlags::POLLOUT)),
            PollFd::new(self.input.as_fd(), events(for_input, PollFlags::POLLIN)),
        ];
        let fds = if for_output { &mut fds[..] } else { &mut fds[1..] };
        loop {
            match poll(fds, self.limit) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
        let (output, input) = match fds {
            [output, input] => (is_ready(output), is_ready(input)),
            _ => (false, true),
        };
        Ok(Ready { output, input })
    }
}

struct Ready {
    output: bool,
    input: bool,
}

impl<R: Read + AsFd, W: Write + AsFd> Read for Duplex<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrived.is_empty() {
            loop {
                self.wait(false, true)?;
                match self.input.read(buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            }
        }
        let bytes = self.arrived.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.arrived[..bytes]);
        self.arrived.drain(..bytes);
        Ok(bytes)
    }
}

impl<R: Read + AsFd, W: Write + AsFd> Write for Duplex<R, W> {
    /// While the far side is busy with an earlier file, it reads nothing but sends heartbeats: they count as
    /// progress too.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = true;
        loop {
            let ready = self.wait(true, open && self.arrived.len() < BUFFER)?;
            if ready.output {
                match self.output.write(bytes) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    written => return written,
                }
            }
            if ready.input {
                let mut buffer = [0; BUFFER];
                match self.input.read(&mut buffer) {
                    Ok(0) => open = false,
                    Ok(read) => self.arrived.extend_from_slice(&buffer[..read]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    fn pair() -> (Duplex<UnixStream, UnixStream>, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Duplex::new(near.try_clone().unwrap(), near, LIMIT).unwrap(), far)
    }

    #[test]
    fn both_directions_time_out() {
        let (mut near, _far) = pair();
        let start = Instant::now();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let all = vec![0; 4 << 20];
        assert_eq!(near.write_all(&all).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIMIT * 2);
    }

    #[test]
    fn heartbeats_keep_a_waiting_write_alive_and_are_not_lost() {
        const BEATS: u8 = 8;
        let (mut near, mut far) = pair();
        let all = vec![7; 4 << 20];
        thread::scope(|scope| {
            scope.spawn(move || {
                for beat in 0..BEATS {
                    thread::sleep(LIMIT / 2);
                    far.write_all(&[beat]).unwrap();
                }
                let mut all = vec![0; 4 << 20];
                far.read_exact(&mut all).unwrap();
                far.write_all(&[BEATS]).unwrap();
            });
            near.write_all(&all).unwrap();
            let mut answers = [0; BEATS as usize + 1];
            near.read_exact(&mut answers).unwrap();
            assert_eq!(answers.to_vec(), (0..=BEATS).collect::<Vec<u8>>());
        });
    }

    #[test]
    fn the_end_of_the_far_side_is_an_end_or_an_error() {
        let (mut near, far) = pair();
        drop(far);
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        assert_eq!(near.write(&[0]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
