//! Signals. SIGUSR1 and SIGINT request a fast failover. On SIGQUIT, which the postmaster sends at an
//! immediate shutdown, the program terminates by SIGINT, since SIGQUIT would leave a core file. SIGTERM
//! keeps its default action, which the server expects at a shutdown.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGQUIT, SIGUSR1};
use signal_hook::{flag, low_level};

/// The signals received so far.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    fast: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
}

impl Interrupts {
    /// Installs the signal handlers. The returned descriptor becomes readable with each signal, so that
    /// a signal just before a wait ends that wait too.
    pub fn install() -> io::Result<(Interrupts, OwnedFd)> {
        let interrupts = Interrupts::default();
        let (reader, writer) = io::pipe()?;
        for (signal, flag) in
            [(SIGUSR1, &interrupts.fast), (SIGINT, &interrupts.fast), (SIGQUIT, &interrupts.quit)]
        {
            flag::register(signal, Arc::clone(flag))?;
            low_level::pipe::register(signal, OwnedFd::from(writer.try_clone()?))?;
        }
        Ok((interrupts, reader.into()))
    }

    /// Whether a fast failover was requested. Does not return after a SIGQUIT.
    pub fn fast_requested(&self) -> bool {
        if self.quit.load(Ordering::Relaxed) {
            let _ = low_level::emulate_default_handler(SIGINT);
        }
        self.fast.load(Ordering::Relaxed)
    }
}
