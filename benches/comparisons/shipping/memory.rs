//! Peak resident sets, read from /proc while a comparison runs.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

/// The largest peak of one process on each side, in kB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    pub near: u64,
    pub far: u64,
}

/// Watches the programs of a testbed until it is told to stop.
pub struct MemoryWatch {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<Peaks>,
}

impl MemoryWatch {
    pub fn start(bed: &Path) -> MemoryWatch {
        let (stop, bed) = (Arc::new(AtomicBool::new(false)), bed.to_owned());
        let stopped = Arc::clone(&stop);
        let watching = thread::spawn(move || {
            let mut peaks = Peaks::default();
            while !stopped.load(Ordering::Relaxed) {
                look(&bed, &mut peaks);
                sleep(Duration::from_millis(2));
            }
            peaks
        });
        MemoryWatch { stop, watching }
    }

    pub fn stop(self) -> Peaks {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap_or_default()
    }
}

fn look(bed: &Path, peaks: &mut Peaks) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = entry.file_name().as_bytes().first().is_some_and(u8::is_ascii_digit);
        let process = entry.path();
        if is_process
            && let Some(is_far) = side(&process)
            && belongs(&process, bed)
            && let Some(peak) = peak(&process)
        {
            let side = if is_far { &mut peaks.far } else { &mut peaks.near };
            *side = peak.max(*side);
        }
    }
}

/// Whether a process is a far end, if it is one of the compared programs.
fn side(process: &Path) -> Option<bool> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split('\0');
    match words.next()?.rsplit('/').next()? {
        "archiveWALFile" | "cp" => Some(false),
        "receiveWALFile" => Some(true),
        "rsync" => Some(words.any(|word| word == "--server")),
        "pgbackrest" => Some(words.any(|word| word.ends_with(":remote"))),
        _ => None,
    }
}

/// Whether HOME of a process is in the testbed.
fn belongs(process: &Path, bed: &Path) -> bool {
    let home = [b"HOME=", bed.as_os_str().as_bytes()].concat();
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&home))
}

fn peak(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
