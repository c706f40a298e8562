//! Output. A closed stream is not an error: the program must continue when the server's log is gone.

use std::io::Write;

/// Prints a line on stderr, which is the server's log.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "pg_standby: {text}");
}

/// Prints text on stdout.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints the library's log messages on stderr.
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

/// Enables the library's log messages up to `level`.
pub fn start_log(level: log::LevelFilter) {
    static LOGGER: ToStderr = ToStderr;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}
