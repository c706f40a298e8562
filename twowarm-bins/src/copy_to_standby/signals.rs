use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

use super::error::CopyError;

const SIGNALS: [(i32, &str); 3] = [(SIGHUP, "SIGHUP"), (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

/// Signals that would end us at once wait while this exists: what is to be ended first, is ended then.
pub(super) struct HeldSignals {
    /// The last one that came; 0 if none did.
    caught: Arc<AtomicUsize>,
    released: Arc<AtomicBool>,
}

impl HeldSignals {
    pub fn hold() -> io::Result<HeldSignals> {
        let held = HeldSignals { caught: Arc::default(), released: Arc::default() };
        for (signal, _) in SIGNALS {
            flag::register_conditional_default(signal, held.released.clone())?;
            flag::register_usize(signal, held.caught.clone(), signal as usize)?;
        }
        Ok(held)
    }

    /// Fails if one came.
    pub fn check(&self) -> Result<(), CopyError> {
        let caught = self.caught.load(Ordering::Relaxed) as i32;
        match SIGNALS.into_iter().find(|(signal, _)| *signal == caught) {
            Some((_, name)) => Err(CopyError::Interrupted(name)),
            None => Ok(()),
        }
    }
}

impl HeldSignals {
    /// Ends the process if a signal came.
    pub fn release(self) {
        let caught = self.caught.load(Ordering::Relaxed) as i32;
        if caught != 0 {
            let _ = emulate_default_handler(caught);
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
    fn a_signal_waits_and_is_named() {
        let held = HeldSignals::hold().unwrap();
        held.check().unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        let error = held.check().unwrap_err().to_string();
        assert!(error.contains("SIGTERM"), "{error}");
    }
}
