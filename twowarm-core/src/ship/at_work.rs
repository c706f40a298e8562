use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::wire::{Message, write_frame};

/// How often the near end hears that long work goes on; well below any time limit it may have.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Does something that may take long, and lets the near end know by WORKING that it goes on: without,
/// it would take a slow disk for one that hangs.
pub(crate) fn while_working<T>(output: &Mutex<impl Write + Send>, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let working = Message::Working.kind();
            while is_done.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                if write_frame(&mut *output, working, &[]).is_err() {
                    break;
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ship::wire::read_frame;

    #[test]
    fn only_long_work_is_told_of() {
        let output = Mutex::new(Vec::new());
        assert_eq!(while_working(&output, || 7), 7);
        assert!(output.lock().unwrap().is_empty());
        while_working(&output, || thread::sleep(HEARTBEAT * 5 / 2));
        let written = output.into_inner().unwrap();
        let mut frames = written.as_slice();
        for _ in 0..2 {
            assert_eq!(read_frame(&mut frames).unwrap().kind, Message::Working.kind());
        }
    }
}
