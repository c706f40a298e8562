use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// An input that fails with [`TimedOut`](io::ErrorKind::TimedOut) when no data arrives within a time limit.
/// The far end of an ssh connection does not learn that the near machine has lost power.
#[derive(Debug)]
pub struct TimedInput<R> {
    input: R,
    limit: PollTimeout,
}

impl<R: Read + AsFd> TimedInput<R> {
    /// Limits each read of an input, which must not have a buffer: [`poll`] does not see its content.
    #[must_use]
    pub fn new(input: R, limit: Duration) -> TimedInput<R> {
        TimedInput { input, limit: PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX) }
    }
}

impl<R: Read + AsFd> Read for TimedInput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd: BorrowedFd = self.input.as_fd();
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], self.limit) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => self.input.read(buffer),
            Err(Errno::EINTR) => Err(io::ErrorKind::Interrupted.into()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_without_data_times_out() {
        let (reader, writer) = io::pipe().unwrap();
        let mut input = TimedInput::new(reader, Duration::from_millis(20));
        assert_eq!(input.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(input.read(&mut [0]).unwrap(), 0);
    }
}
