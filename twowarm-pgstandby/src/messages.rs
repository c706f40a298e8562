//! What is said, on which stream. A stream that is gone is no reason to fail: under a server, stderr is
//! the log.

use std::io::Write;

/// A line on stderr.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "pg_standby: {text}");
}

/// Text on stdout.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Sends what the library says to stderr too.
struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            say(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Starts listening to the library.
pub fn start_log(level: log::LevelFilter) {
    static LOGGER: ToStderr = ToStderr;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}
