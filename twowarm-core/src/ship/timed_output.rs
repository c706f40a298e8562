use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe or socket that fails with [`TimedOut`](io::ErrorKind::TimedOut) when the other side takes no data within a
/// time limit.
#[derive(Debug)]
pub struct TimedOutput {
    output: File,
    limit: PollTimeout,
    at_once: usize,
}

/// What a write to a pipe takes without blocking when poll says that it is writable, in bytes.
const PIPE: usize = 4096;
/// The same for a Unix socket, which is writable when three quarters of its buffer are free.
const SOCKET: usize = 32 * 1024;

impl TimedOutput {
    /// Limits each write.
    #[must_use]
    pub fn new(output: File, limit: Duration) -> TimedOutput {
        let is_socket = output.metadata().is_ok_and(|found| found.file_type().is_socket());
        let at_once = if is_socket { SOCKET } else { PIPE };
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        TimedOutput { output, limit, at_once }
    }
}

impl Write for TimedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match poll(&mut [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)], self.limit) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => self.output.write(&bytes[..bytes.len().min(self.at_once)]),
            Err(Errno::EINTR) => Err(io::ErrorKind::Interrupted.into()),
            Err(e) => Err(e.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn an_output_that_nobody_reads_times_out() {
        let (reader, writer) = io::pipe().unwrap();
        let (socket, other) = UnixStream::pair().unwrap();
        for output in [OwnedFd::from(writer), OwnedFd::from(socket)] {
            let mut output = TimedOutput::new(File::from(output), Duration::from_millis(20));
            let error = output.write_all(&vec![0; 10_000_000]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        drop((reader, other));
    }
}
