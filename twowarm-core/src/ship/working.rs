use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::wire::{Message, write_frame};
use crate::limits::with_heartbeat;

/// How often WORKING is sent; well below the shortest time limit that a near end may have.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// Does work that may take long and sends WORKING meanwhile. Without it the near end could not tell a slow
/// disk from one that hangs.
pub(crate) fn while_working<T>(output: &Mutex<impl Write + Send>, work: impl FnOnce() -> T) -> T {
    let send_working = || {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        write_frame(&mut *output, Message::Working.kind(), &[]).is_ok()
    };
    with_heartbeat(INTERVAL, send_working, work)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::ship::wire::read_frame;

    #[test]
    fn working_is_sent_only_for_long_work() {
        let output = Mutex::new(Vec::new());
        assert_eq!(while_working(&output, || 7), 7);
        assert!(output.lock().unwrap().is_empty());
        while_working(&output, || thread::sleep(INTERVAL * 5 / 2));
        let written = output.into_inner().unwrap();
        let mut frames = written.as_slice();
        for _ in 0..2 {
            assert_eq!(read_frame(&mut frames).unwrap().kind, Message::Working.kind());
        }
    }
}
