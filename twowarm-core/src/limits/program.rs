use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::background::Background;

/// A program that has closed its output is about to exit.
const EXIT: Duration = Duration::from_millis(200);

/// Runs a program until it exits and returns its output. Kills it if it takes longer than `limit`. A
/// program that hangs in the kernel and does not react to a signal is abandoned, and so are its child
/// processes. Standard input is as set in `command`.
///
/// # Errors
/// If it can't be started, and [`TimedOut`](io::ErrorKind::TimedOut).
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let deadline = Instant::now() + limit;
    let left = || deadline.saturating_duration_since(Instant::now());
    let timed_out = || {
        let message = format!("did not end within {} s", limit.as_secs_f32());
        io::Error::new(io::ErrorKind::TimedOut, message)
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(|pipe| Background::start(|| all_of(pipe)));
    let stderr = child.stderr.take().map(|pipe| Background::start(|| all_of(pipe)));
    let output = |pipe: Option<io::Result<Background<Vec<u8>>>>| match pipe {
        Some(pipe) => pipe?.wait(left()).ok_or_else(timed_out),
        None => Ok(Vec::new()),
    };
    let output = output(stdout).and_then(|stdout| Ok((stdout, output(stderr)?)));
    if output.is_err() {
        let _ = child.kill();
    }
    // On another thread: a child that hangs in the kernel may never exit.
    let exit = Background::start(move || child.wait())?;
    let (stdout, stderr) = output?;
    let status = exit.wait(left().max(EXIT)).ok_or_else(timed_out)??;
    Ok(Output { status, stdout, stderr })
}

fn all_of(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_exceeds_its_limit_is_killed() {
        let late = output_within(Command::new("sleep").arg("60"), Duration::from_millis(100));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let output = output_within(
            Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]),
            Duration::from_secs(10),
        );
        let output = output.unwrap();
        assert_eq!((output.stdout, output.stderr), (b"a\n".to_vec(), b"b\n".to_vec()));
        assert_eq!(output.status.code(), Some(3));
    }
}
