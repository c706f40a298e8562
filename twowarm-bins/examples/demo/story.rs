//! The demo's output: numbered headings and lines, on standard output.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

static STEPS: AtomicU32 = AtomicU32::new(1);
static START: OnceLock<Instant> = OnceLock::new();

/// Prints a heading with its number and the seconds since the first heading.
pub fn heading(text: &str) {
    let number = STEPS.fetch_add(1, Ordering::Relaxed);
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs_f64();
    line(&format!("\n{number}. {text}  [{seconds:.1} s]"));
}

/// Prints a line. Without a reader (`make demo | head`) the demo must not panic.
pub fn line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A heading, formatted.
macro_rules! step {
    ($($part:tt)*) => { $crate::story::heading(&format!($($part)*)) };
}

/// A line under a heading, formatted.
macro_rules! say {
    ($($part:tt)*) => { $crate::story::line(&format!("   {}", format_args!($($part)*))) };
}

pub(crate) use {say, step};
