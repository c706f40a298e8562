//! Waiting for files to arrive, by inotify.
//!
//! Events only shorten a wait. Network file systems send none, and a machine can run out of inotify
//! instances; then the file is found by the caller's own polling.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::unistd::read;

use crate::trigger::Writing;

/// Watches files by their paths. Neither they nor their directories need exist.
#[derive(Debug)]
pub struct Watcher {
    files: Vec<WatchedFile>,
    /// None before the first wait, and if events are off or not available.
    inotify: Option<Inotify>,
    events: Events,
    /// Becomes readable when the process has received a signal that ends a wait.
    interrupt: Option<OwnedFd>,
}

/// Whether to use events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// If the system has them.
    Wanted,
    /// No: poll only.
    Off,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    /// The watch on its directory, which several files may share.
    watch: Option<WatchDescriptor>,
    writing: Writing,
}

impl Watcher {
    /// Watches these files. Nothing is set up before [`arm`](Watcher::arm), so that a caller that need not
    /// wait has no cost.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = &'a Path>, events: Events) -> Watcher {
        let watched = |path: &Path| WatchedFile {
            path: path.to_owned(),
            watch: None,
            writing: Writing::Unseen,
        };
        Watcher {
            files: files.into_iter().map(watched).collect(),
            inotify: None,
            events,
            interrupt: None,
        }
    }

    /// Ends a wait also when this descriptor, such as a signal handler's pipe, is readable, and empties it.
    #[must_use]
    pub fn interrupted_by(self, readable: OwnedFd) -> Watcher {
        Watcher { interrupt: Some(readable), ..self }
    }

    /// Starts to watch. To be called before the last look that precedes a wait: then an arrival between
    /// the two ends the wait. Called again, it finds directories that have been created since. Returns
    /// whether anything is newly watched.
    pub fn arm(&mut self) -> bool {
        if self.events == Events::Off {
            return false;
        }
        if self.inotify.is_none() {
            match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
                Ok(inotify) => self.inotify = Some(inotify),
                Err(e) => {
                    log::debug!("inotify is not available ({e}), polling only");
                    self.events = Events::Off;
                    return false;
                }
            }
        }
        let Some(inotify) = &self.inotify else { return false };
        let arrivals =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
        let mut any_new = false;
        for file in &mut self.files {
            // Adding it again shows whether the path leads to another directory now.
            if let Ok(watch) = inotify.add_watch(directory_of(&file.path), arrivals) {
                any_new |= file.watch.replace(watch) != Some(watch);
            }
        }
        any_new
    }

    /// Stops watching, until it is armed again, and forgets the events.
    ///
    /// The kernel frees a watch only after a grace period, 10 ms and more on busy processors, and the end
    /// of the process waits for that. Watches that are removed before the copy are freed meanwhile.
    pub(crate) fn disarm(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        for file in &mut self.files {
            if let Some(watch) = file.watch.take() {
                // Files of one directory share it.
                let _ = inotify.rm_watch(watch);
            }
            file.writing = Writing::Unseen;
        }
    }

    /// What events have shown of a process that writes to the file.
    #[must_use]
    pub fn writing(&self, path: &Path) -> Writing {
        self.files.iter().find(|f| f.path == path).map(|f| f.writing).unwrap_or_default()
    }

    /// Returns when something has happened to one of the files, at the latest after this time. May return
    /// earlier.
    pub fn wait(&mut self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next_events(left) {
                Ok(events) if events.is_empty() => return,
                Ok(events) if self.record(&events) => return,
                Ok(_) => {}
                // A signal arrived, and the caller looks at it.
                Err(Errno::EINTR) => return,
                Err(_) => return thread::sleep(left),
            }
        }
    }

    /// The next events; `None` if the time is over or an interrupt came.
    fn next_events(&self, at_most: Duration) -> nix::Result<Vec<InotifyEvent>> {
        // Rounded up, or the last fraction of a millisecond would be a busy wait.
        let millis = at_most.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let events = self.inotify.as_ref().map(|i| PollFd::new(i.as_fd(), PollFlags::POLLIN));
        let interrupt =
            self.interrupt.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd> = events.into_iter().chain(interrupt).collect();
        if poll(&mut fds, timeout)? == 0 {
            return Ok(Vec::new());
        }
        match &self.inotify {
            Some(inotify) if fds.first().and_then(PollFd::any) == Some(true) => {
                inotify.read_events()
            }
            _ => {
                if let Some(interrupt) = &self.interrupt {
                    read(interrupt, &mut [0; 64])?;
                }
                Ok(Vec::new())
            }
        }
    }

    /// Records the events of the watched files, and returns whether there are any.
    fn record(&mut self, events: &[InotifyEvent]) -> bool {
        let mut ours = false;
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                // Events were lost.
                self.files.iter_mut().for_each(|file| file.writing = Writing::Unseen);
                ours = true;
            }
            for file in self.files.iter_mut().filter(|f| f.watch == Some(event.wd)) {
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    // The directory was removed; arming finds a new one.
                    file.watch = None;
                    ours = true;
                } else if event.name.as_deref() == file.path.file_name() {
                    let created = event.mask.contains(AddWatchFlags::IN_CREATE);
                    file.writing = if created { Writing::Open } else { Writing::Closed };
                    ours = true;
                }
            }
        }
        ours
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn an_arrival_ends_the_wait_and_shows_how_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let mut watcher = Watcher::new([path.as_path()], Events::Wanted);
        assert!(watcher.arm());
        assert_eq!(watcher.writing(&path), Writing::Unseen);
        let file = File::create(&path).unwrap();
        watcher.wait(LONG);
        assert_eq!(watcher.writing(&path), Writing::Open);
        drop(file);
        watcher.wait(LONG);
        assert_eq!(watcher.writing(&path), Writing::Closed);
        fs::write(dir.path().join("aside"), "x").unwrap();
        fs::rename(dir.path().join("aside"), &path).unwrap();
        watcher.wait(LONG);
        assert_eq!(watcher.writing(&path), Writing::Closed);
    }

    #[test]
    fn a_directory_that_is_removed_and_created_again_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        let path = archive.join("segment");
        let mut watcher = Watcher::new([path.as_path()], Events::Wanted);
        assert!(!watcher.arm(), "there is no directory to watch yet");
        fs::create_dir(&archive).unwrap();
        assert!(watcher.arm());
        assert!(!watcher.arm(), "nothing new");
        fs::remove_dir(&archive).unwrap();
        watcher.wait(LONG);
        fs::create_dir(&archive).unwrap();
        assert!(watcher.arm());
        fs::write(&path, "x").unwrap();
        watcher.wait(LONG);
    }

    #[test]
    fn disarmed_it_forgets_and_armed_again_it_watches() {
        let dir = tempfile::tempdir().unwrap();
        let (path, beside) = (dir.path().join("segment"), dir.path().join("trigger"));
        let mut watcher = Watcher::new([path.as_path(), beside.as_path()], Events::Wanted);
        assert!(watcher.arm());
        fs::write(&path, "x").unwrap();
        watcher.wait(LONG);
        watcher.disarm();
        assert_eq!(watcher.writing(&path), Writing::Unseen);
        assert!(watcher.arm(), "something may have been missed");
        fs::write(&beside, "x").unwrap();
        watcher.wait(LONG);
        assert_eq!(watcher.writing(&beside), Writing::Closed);
    }

    #[test]
    fn without_events_it_only_waits() {
        let mut watcher = Watcher::new([Path::new("/tmp/x")], Events::Off);
        assert!(!watcher.arm());
        watcher.wait(Duration::from_millis(1));
    }
}
