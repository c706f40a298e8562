//! Signals. SIGUSR1 and SIGINT order a fast failover. SIGQUIT, which the postmaster sends for an
//! immediate shutdown, ends us by SIGINT, since its own way would leave a core file. SIGTERM keeps its
//! default: the server expects it at a shutdown.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGQUIT, SIGUSR1};
use signal_hook::{flag, low_level};

/// What signals have said so far.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    fast: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
}

impl Interrupts {
    /// Starts to listen. What comes back becomes readable with each signal, so that one which arrives
    /// just before a wait ends it all the same.
    pub fn listen() -> io::Result<(Interrupts, OwnedFd)> {
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

    /// Whether a fast failover is ordered. Does not return after a SIGQUIT.
    pub fn order_fast(&self) -> bool {
        if self.quit.load(Ordering::Relaxed) {
            let _ = low_level::emulate_default_handler(SIGINT);
        }
        self.fast.load(Ordering::Relaxed)
    }
}
