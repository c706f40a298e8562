//! A message before a signal ends the process.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_default};
use signal_hook::low_level::{emulate_default_handler, pipe};

/// Does this before SIGINT or SIGTERM ends the process. A second signal ends it at once.
pub(crate) fn before_the_end(action: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    let action = Arc::new(action);
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal)) {
        // In this order: at the first signal the flag is not set yet.
        register_conditional_default(signal, Arc::clone(&interrupted))?;
        register(signal, Arc::clone(&interrupted))?;
        let (mut reader, writer) = io::pipe()?;
        pipe::register(signal, OwnedFd::from(writer))?;
        let action = Arc::clone(&action);
        thread::Builder::new().spawn(move || {
            if matches!(reader.read(&mut [0]), Ok(1)) {
                action();
                let _ = emulate_default_handler(signal);
            }
        })?;
    }
    Ok(())
}

/// Whether the process was started with the signal ignored, as a shell does for background jobs.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
