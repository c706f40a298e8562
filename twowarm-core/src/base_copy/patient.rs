use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A reader that gives up when nothing comes for too long: the near node may have vanished from the
/// network without a word.
#[derive(Debug)]
pub struct Patient<R> {
    inner: R,
    limit: Duration,
}

impl<R: Read + AsFd> Patient<R> {
    /// Wraps an unbuffered reader.
    pub fn new(inner: R, limit: Duration) -> Patient<R> {
        Patient { inner, limit }
    }
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = PollTimeout::try_from(self.limit).unwrap_or(PollTimeout::MAX);
        loop {
            let mut wanted = [PollFd::new(self.inner.as_fd(), PollFlags::POLLIN)];
            match poll(&mut wanted, limit) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_and_words_come_through() {
        let (read, mut write) = io::pipe().unwrap();
        let mut patient = Patient::new(read, Duration::from_millis(20));
        let mut buffer = [0; 4];
        assert_eq!(patient.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::TimedOut);
        io::Write::write_all(&mut write, b"hi").unwrap();
        assert_eq!(patient.read(&mut buffer).unwrap(), 2);
        drop(write);
        assert_eq!(patient.read(&mut buffer).unwrap(), 0);
    }
}
