//! Work, and programs, that are given up when they take longer than a limit.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Does some work on a thread of its own; none if it takes longer than this. The thread is then left
/// behind: a call that hangs in the kernel can't be taken back. Fails only if no thread can be started.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    Ok(beside(work)?.recv_timeout(limit).ok())
}

/// Runs a program to its end and returns what it wrote; when the time is over, kills it and fails with
/// [`TimedOut`](io::ErrorKind::TimedOut). One that hangs in the kernel, and that no signal ends, is left
/// behind; so is what it has started itself. Standard input is what `command` says.
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let deadline = Instant::now() + limit;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(|pipe| beside(|| all_of(pipe)));
    let stderr = child.stderr.take().map(|pipe| beside(|| all_of(pipe)));
    let said = |pipe: Option<io::Result<Receiver<Vec<u8>>>>| {
        let Some(pipe) = pipe else { return Ok(Vec::new()) };
        let left = deadline.saturating_duration_since(Instant::now());
        pipe?.recv_timeout(left).map_err(|_| {
            let message = format!("it did not end within {} s", limit.as_secs_f32());
            io::Error::new(io::ErrorKind::TimedOut, message)
        })
    };
    let said = said(stdout).and_then(|stdout| Ok((stdout, said(stderr)?)));
    if said.is_err() {
        let _ = child.kill();
    }
    // Beside us: the end of one that hangs in the kernel may never come.
    let ended = beside(move || child.wait())?;
    let (stdout, stderr) = said?;
    let left = deadline.saturating_duration_since(Instant::now());
    let status = ended.recv_timeout(left.max(MOMENT)).map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(Output { status, stdout, stderr })
}

/// A program that has closed its output is about to end.
const MOMENT: Duration = Duration::from_millis(200);

fn all_of(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Receiver<T>> {
    let (done, is_done) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        // Nobody listens to what comes too late.
        let _ = done.send(work());
    })?;
    Ok(is_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_left() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), Some(7));
        let (_never, waits) = mpsc::channel::<()>();
        let start = Instant::now();
        assert_eq!(within(Duration::from_millis(50), move || waits.recv().is_ok()).unwrap(), None);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let start = Instant::now();
        let late = output_within(Command::new("sleep").arg("60"), Duration::from_millis(100));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(10));
        let said = output_within(
            Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]),
            Duration::from_secs(10),
        );
        let said = said.unwrap();
        assert_eq!((said.stdout, said.stderr), (b"a\n".to_vec(), b"b\n".to_vec()));
        assert_eq!(said.status.code(), Some(3));
    }
}
