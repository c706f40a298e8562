use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Call, names_in};

/// The segment that most tests ask for.
pub const NAME: &str = "000000010000000C00000099";

/// A working directory with an archive, without a server.
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// With an empty archive. Without PG_VERSION the dialect is the newest.
    pub fn new() -> Scratch {
        let scratch =
            Scratch { dir: tempfile::tempdir().expect("the temporary directory is writable") };
        for name in ["archive", "pg_wal"] {
            fs::create_dir(scratch.path(name)).expect("the scratch directory is writable");
        }
        scratch
    }

    /// With the segment in the archive.
    pub fn full() -> Scratch {
        let scratch = Scratch::new();
        scratch.put(&format!("archive/{NAME}"), segment());
        scratch
    }

    /// A path in the working directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file there, by renaming.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let aside = self.path("aside");
        fs::write(&aside, content).expect("the scratch directory is writable");
        fs::rename(aside, self.path(name)).expect("the file was just written");
    }

    /// The path of the segment in the archive.
    pub fn archived(&self) -> PathBuf {
        self.path("archive").join(NAME)
    }

    /// A call with these arguments.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg_standby"));
        command.current_dir(self.dir.path()).env_clear().args(arguments);
        command
    }

    /// A server's call for the segment, with these options.
    pub fn ask(&self, options: &[&str]) -> Command {
        self.command(options.iter().copied().chain(["archive", NAME, "pg_wal/RECOVERYXLOG"]))
    }

    /// The same call, made by a program that takes a command line as its last arguments.
    pub fn wrapped(&self, mut wrapper: Command, call: &Command) -> Command {
        wrapper.arg(call.get_program()).args(call.get_args()).current_dir(self.dir.path());
        wrapper
    }

    /// The same call under strace, which tampers with one kind of system call.
    pub fn tampered(&self, system_call: &str, how: &str, call: &Command) -> Command {
        let mut strace = Command::new("strace");
        strace.args(["-o", "strace.out", "-e"]).arg(format!("trace={system_call}"));
        strace.arg("-e").arg(format!("inject={system_call}:{how}"));
        self.wrapped(strace, call)
    }

    /// Starts a call for the segment.
    pub fn start(&self, options: &[&str]) -> Call {
        Call::start(self.ask(options))
    }

    /// Reads the restored file.
    pub fn restored(&self) -> Option<Vec<u8>> {
        fs::read(self.path("pg_wal/RECOVERYXLOG")).ok()
    }

    /// Asserts that the call ends with the whole segment in its place.
    pub fn assert_restores(&self, call: Call) {
        let said = call.exits(0);
        assert!(self.restored().as_deref() == Some(&segment()), "{said}");
    }

    /// Asserts that there is no file at the target or beside it.
    pub fn assert_nothing_restored(&self) {
        let left = names_in(&self.path("pg_wal"));
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A segment of 1 MB whose pages all differ.
pub fn segment() -> Vec<u8> {
    const SIZE: u32 = 1 << 20;
    let mut bytes: Vec<u8> = (0..SIZE / 4).flat_map(|n| (n | 1).to_le_bytes()).collect();
    bytes[32..36].copy_from_slice(&SIZE.to_le_bytes());
    bytes[36..40].copy_from_slice(&8192u32.to_le_bytes());
    bytes
}
