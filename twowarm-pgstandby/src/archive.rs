//! The archive, with the original's rule: a segment is ready when the file has the full size.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use twowarm_core::prune::is_segment_name;
use twowarm_core::restore::{Clock, Found, Source, copy_file, has_holes};
use twowarm_core::trigger::Writing;
use twowarm_core::wal::SegmentSize;

use crate::arguments::Arguments;
use crate::cleanup::{clean, oldest_kept};
use crate::dialect::Dialect;
use crate::messages::say;
use crate::verify::Verifier;

/// The kind of the requested file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Waited for until it has the size of a segment.
    Segment,
    /// Waited for, and accepted in any size.
    Backup,
    /// Never waited for.
    History,
}

impl Kind {
    /// The kind of the file `name`, by the rules of the dialect.
    pub fn of(name: &OsString, dialect: Dialect) -> Kind {
        let name = name.as_bytes();
        let digits = name.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')).count();
        let strict = dialect == Dialect::V13;
        let is_history = digits == 8
            && name.ends_with(b".history")
            && (!strict || name.len() == 8 + ".history".len());
        if is_history {
            Kind::History
        } else if digits == 24 && name.ends_with(b".backup") && !strict {
            Kind::Backup
        } else {
            Kind::Segment
        }
    }
}

/// A file that was modified less than this time ago may be incomplete.
const SETTLED: Duration = Duration::from_millis(100);
/// The same for a file with holes: its writer probably set the full size first.
const SETTLED_WITH_HOLES: Duration = Duration::from_secs(2);
/// The same for a file whose creation was seen, but not yet its close: a writer has it open.
const SETTLED_THOUGH_OPEN: Duration = Duration::from_secs(60);

/// The requested file in the archive.
#[derive(Debug)]
pub struct Archived<'a> {
    arguments: &'a Arguments,
    kind: Kind,
    path: PathBuf,
    size: Option<SegmentSize>,
    verifier: Option<Verifier>,
    complained: Option<String>,
}

impl<'a> Archived<'a> {
    /// The file that the arguments ask for.
    pub fn new(arguments: &'a Arguments, verifier: Option<Verifier>) -> Archived<'a> {
        // `join` would discard the archive if the name were an absolute path.
        let mut path = arguments.archive.clone();
        path.push("/");
        path.push(&arguments.next);
        let kind = Kind::of(&arguments.next, arguments.dialect);
        // Before 11 the original assumes segments of 16 MB.
        let size = (arguments.dialect != Dialect::V13).then_some(SegmentSize::DEFAULT);
        Archived { arguments, kind, path: path.into(), size, verifier, complained: None }
    }

    /// Its path, whether or not it exists.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The oldest segment that is kept after this restore, if it is known already.
    pub fn oldest_kept(&self) -> Option<OsString> {
        oldest_kept(self.arguments, self.size?)
    }

    /// A history file is absent only if the archive is readable. Any other error is left to the copy,
    /// which fails then.
    fn history(&self) -> Found {
        if self.arguments.link {
            // The original creates a dangling link too.
            return Found::Ready;
        }
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match fs::read_dir(&self.arguments.archive) {
                    Ok(_) => Found::Absent,
                    Err(_) => Found::Ready,
                }
            }
            _ => Found::Ready,
        }
    }

    fn segment(&mut self, metadata: &Metadata, clock: &dyn Clock) -> Found {
        let size = match self.segment_size() {
            Ok(StatedSize::Valid(size)) => size.bytes(),
            Ok(StatedSize::Missing) => {
                if self.arguments.debug {
                    self.complain_once(format!(
                        "{} has no complete first page yet",
                        self.path.display()
                    ));
                }
                return Found::Arriving;
            }
            // The server rejects a segment of the wrong size; like the original, this leaves it to the
            // server.
            Ok(StatedSize::Invalid(bytes)) => {
                let path = self.path.display();
                self.complain_once(format!(
                    "{path}: invalid segment size in header: {bytes} bytes"
                ));
                bytes
            }
            Err(problem) => {
                self.complain_once(problem);
                return Found::Arriving;
            }
        };
        match metadata.len().cmp(&size) {
            std::cmp::Ordering::Less => Found::Arriving,
            std::cmp::Ordering::Greater => Found::TooLarge { bytes: metadata.len() },
            std::cmp::Ordering::Equal if self.may_be_written(metadata, clock) => Found::Settling,
            std::cmp::Ordering::Equal => self.verified(),
        }
    }

    /// From 11 on the segment's first page states the segment size; until that page is written the
    /// segment is not ready.
    fn segment_size(&mut self) -> Result<StatedSize, String> {
        if let Some(size) = self.size {
            return Ok(StatedSize::Valid(size));
        }
        if !self.arguments.next.to_str().is_some_and(is_segment_name) {
            return Ok(StatedSize::Missing);
        }
        let failed = |e: io::Error| format!("could not read file \"{}\": {e}", self.path.display());
        let mut page = Vec::with_capacity(PAGE);
        File::open(&self.path)
            .and_then(|file| file.take(PAGE as u64).read_to_end(&mut page))
            .map_err(failed)?;
        let field = page.get(SEGMENT_SIZE_AT..SEGMENT_SIZE_AT + 4).filter(|_| page.len() == PAGE);
        let Some(field) = field else { return Ok(StatedSize::Missing) };
        let bytes = i32::from_le_bytes(field.try_into().expect("four bytes"));
        let Some(bytes) = u64::try_from(bytes).ok().filter(|&bytes| bytes > 0) else {
            return Err(format!(
                "{} is not a WAL segment: it has no valid page header",
                self.path.display()
            ));
        };
        let Ok(size) = SegmentSize::new(bytes) else { return Ok(StatedSize::Invalid(bytes)) };
        self.size = Some(size);
        if self.arguments.debug {
            say(&format!("segment size: {bytes} bytes"));
            say(&describe_cleanup(self.oldest_kept()));
        }
        Ok(StatedSize::Valid(size))
    }

    /// Whether a file of the full size may be incomplete: some writers set the size first and then
    /// write.
    fn may_be_written(&self, metadata: &Metadata, clock: &dyn Clock) -> bool {
        // A modification time in the future comes from another machine's clock and is ignored.
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let changed_within = |time: Duration| age.is_some_and(|age| age < time);
        match clock.writing(&self.path) {
            Writing::Closed => false,
            // A new link is a creation that no close follows.
            Writing::Open if metadata.nlink() == 1 && !self.path.is_symlink() => {
                changed_within(SETTLED_THOUGH_OPEN)
            }
            Writing::Open => false,
            Writing::Unseen => {
                changed_within(SETTLED)
                    || changed_within(SETTLED_WITH_HOLES) && has_holes(&self.path).unwrap_or(true)
            }
        }
    }

    fn verified(&mut self) -> Found {
        match &mut self.verifier {
            Some(verifier) => verifier.check(&self.path),
            None => Found::Ready,
        }
    }

    fn complain_once(&mut self, problem: String) {
        if self.complained.as_ref() != Some(&problem) {
            say(&problem);
            self.complained = Some(problem);
        }
    }

    fn link(&self) -> io::Result<()> {
        let target = self.target();
        if fs::canonicalize(&target)
            .is_ok_and(|to| fs::canonicalize(&self.path).is_ok_and(|f| f == to))
            && !target.is_symlink()
        {
            return Err(io::Error::other("source and target are the same file"));
        }
        match fs::remove_file(&target) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::os::unix::fs::symlink(&self.path, target)
    }

    /// If the target is a directory, the file is written into it under its own name.
    fn target(&self) -> PathBuf {
        let target = &self.arguments.target;
        match Path::new(&self.arguments.next).file_name() {
            Some(name) if target.is_dir() => target.join(name),
            _ => target.clone(),
        }
    }
}

/// The debug line about the files that are removed after the restore.
pub fn describe_cleanup(oldest_kept: Option<OsString>) -> String {
    match oldest_kept {
        Some(oldest) => format!("cleanup: segments before {}", oldest.to_string_lossy()),
        None => "cleanup: none so far".to_owned(),
    }
}

/// The segment size that a segment's first page states.
enum StatedSize {
    /// The page is not complete yet.
    Missing,
    Valid(SegmentSize),
    /// This number of bytes is not a possible segment size.
    Invalid(u64),
}

/// The WAL page size. The original reads one page.
const PAGE: usize = 8192;
/// Offset of the segment size in a long page header, from 11 on.
const SEGMENT_SIZE_AT: usize = 32;

impl Archived<'_> {
    /// Removes segments that the server no longer needs, after a segment was restored.
    pub fn prune(&self) {
        if self.kind != Kind::Segment {
            return;
        }
        let Some(oldest) = self.oldest_kept() else { return };
        let oldest = oldest.to_string_lossy();
        let verbosity = self.arguments.verbosity;
        let mut report = |path: &Path| {
            if verbosity >= 3 {
                say(&format!("removing {}", path.display()));
            }
        };
        let archive = Path::new(&self.arguments.archive);
        match clean(archive, self.arguments, &oldest, &mut report) {
            Ok(removed) if removed > 0 && verbosity == 2 => {
                say(&format!("removed {removed} segments before {oldest} from the archive"));
            }
            Err(problem) if verbosity >= 1 => {
                say(&format!("could not clean up the archive: {problem}"))
            }
            _ => {}
        }
    }
}

impl Source for Archived<'_> {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        if self.kind == Kind::History {
            return self.history();
        }
        match fs::metadata(&self.path) {
            Ok(_) if self.kind == Kind::Backup => Found::Ready,
            Ok(metadata) => self.segment(&metadata, clock),
            Err(_) => Found::Absent,
        }
    }

    fn restore(&mut self, _as_it_is: bool) -> Result<(), Found> {
        let done =
            if self.arguments.link { self.link() } else { copy_file(&self.path, &self.target()) };
        let (from, to) = (self.path.display(), self.arguments.target.display());
        if done.is_ok() && self.arguments.debug {
            say(&format!("restored {from} to {to}"));
        }
        done.map_err(|e| {
            let problem = format!("could not copy \"{from}\" to \"{to}\": {e}");
            say(&problem);
            Found::NotCopied(problem)
        })
    }

    /// The original never renames a file in the archive.
    fn set_aside(&mut self, _why: &str) -> bool {
        true
    }
}
