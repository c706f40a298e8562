use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::receive::{Closed, receive};

/// Does the work on another thread and calls `tick` on this one, once per `interval`. An error of `tick`
/// is returned instead of the result, as soon as the work is done.
///
/// # Errors
/// Those of `tick`.
pub fn with_ticks<T: Send, E>(
    interval: Duration,
    tick: &mut dyn FnMut() -> Result<(), E>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, E> {
    thread::scope(|scope| {
        let (sender, result) = mpsc::channel();
        let worker = scope.spawn(move || {
            // The receiver is gone if `tick` failed.
            let _ = sender.send(work());
        });
        loop {
            match receive(&result, interval) {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => tick()?,
                Err(Closed) => match worker.join() {
                    Err(panic) => resume_unwind(panic),
                    Ok(()) => unreachable!("the work sends its result before it ends"),
                },
            }
        }
    })
}

/// Does the work on this thread and calls `beat` on another one, once per `interval`, until the work is
/// done or `beat` returns `false`.
pub fn with_heartbeat<T>(
    interval: Duration,
    mut beat: impl FnMut() -> bool + Send,
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || while matches!(receive(&is_done, interval), Ok(None)) && beat() {});
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(5);

    #[test]
    fn ticks_come_during_the_work_and_their_error_is_the_result() {
        let (go, blocked) = mpsc::channel();
        let mut ticks = 0;
        let mut tick = || {
            ticks += 1;
            if ticks == 3 {
                go.send(7).unwrap();
            }
            Ok::<(), &str>(())
        };
        assert_eq!(with_ticks(INTERVAL, &mut tick, move || blocked.recv().unwrap()), Ok(7));
        assert!(ticks >= 3);

        let (go, blocked) = mpsc::channel();
        let mut tick = || {
            let _ = go.send(7);
            Err("failed")
        };
        assert_eq!(with_ticks(INTERVAL, &mut tick, move || blocked.recv().unwrap()), Err("failed"));
    }

    #[test]
    #[should_panic(expected = "as a bug would")]
    fn a_panic_of_the_work_is_passed_on() {
        let mut tick = || Ok::<(), ()>(());
        let _ = with_ticks(INTERVAL, &mut tick, || panic!("as a bug would"));
    }

    #[test]
    fn a_heart_beats_until_it_returns_false() {
        let (beat, beats) = mpsc::channel();
        let mut left = 2;
        let beat = move || {
            left -= 1;
            beat.send(left).unwrap();
            left > 0
        };
        let all: Vec<i32> = with_heartbeat(INTERVAL, beat, || beats.iter().collect());
        assert_eq!(all, [1, 0]);
    }
}
