use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;
use twowarm_core::base_copy::Signals;

const SIGNALS: [(i32, &str); 3] = [(SIGHUP, "SIGHUP"), (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

/// Holds the signals that would end the process, until they are released or this is dropped.
#[derive(Default)]
pub(super) struct HeldSignals {
    /// The last signal that was received; 0 if none was.
    received: Arc<AtomicUsize>,
    released: Arc<AtomicBool>,
}

impl Signals for HeldSignals {
    fn hold(&mut self) -> io::Result<()> {
        for (signal, _) in SIGNALS {
            flag::register_conditional_default(signal, self.released.clone())?;
            flag::register_usize(signal, self.received.clone(), signal as usize)?;
        }
        Ok(())
    }

    fn received(&self) -> Option<&'static str> {
        let received = self.received.load(Ordering::Relaxed) as i32;
        SIGNALS.into_iter().find(|(signal, _)| *signal == received).map(|(_, name)| name)
    }

    fn release(&mut self) {
        self.released.store(true, Ordering::Relaxed);
        let received = self.received.load(Ordering::Relaxed) as i32;
        if received != 0 {
            let _ = emulate_default_handler(received);
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        self.released.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_signal_is_named() {
        let mut held = HeldSignals::default();
        held.hold().unwrap();
        assert_eq!(held.received(), None);
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(held.received(), Some("SIGTERM"));
    }
}
