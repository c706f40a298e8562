//! The record that crosses into a segment from an earlier one, of which the segment itself holds only a part.
//!
//! A server in warm mode that finds it damaged ends recovery and becomes a primary, as for any other record.
//! So it is checked from the segment in which it begins, even if that is many segments before.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::wal::{
    Expected, Lsn, SegmentHeader, SegmentName, SegmentWalk, StopReason, WalEnd, push_pages,
    read_segment_header,
};

#[cfg(test)]
mod tests;

/// A segment's file, whose first page was checked.
pub(super) struct Checked<'a> {
    pub(super) file: &'a mut File,
    pub(super) name: SegmentName,
    pub(super) header: SegmentHeader,
}

/// Where earlier segments may be.
pub(super) struct Earlier<'a> {
    pub(super) archive: &'a Path,
    pub(super) data_directory: &'a Path,
}

/// The result for the record that crosses into a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    /// It is sound, or there is none.
    Sound,
    /// The whole segment lies within it, and continues where the segment before ends. Its checksum can be
    /// compared only in the segment in which it ends.
    Within,
    /// A server would stop before it.
    Damaged { at: Lsn, why: String },
    /// It could not be checked, for this reason.
    Unchecked(String),
}

/// Which copy of an earlier segment is read if there are two.
#[derive(Clone, Copy)]
enum Prefer {
    ServersOwn,
    Archived,
}

/// Where the record that crosses into the segment ends.
#[derive(Clone, Copy)]
enum RecordEnd {
    /// Within the segment.
    At(Lsn),
    /// In a later segment.
    Later,
}

/// The result with one choice of copies.
struct Followed {
    /// The copies of earlier segments: from the last one back to the one in which the record begins.
    copies: Vec<PathBuf>,
    /// Where a server would stop, and why.
    stop: Option<(Lsn, StopReason)>,
    /// In which of the copies it would stop; `None` if in the segment itself.
    stop_in: Option<usize>,
}

impl Earlier<'_> {
    /// Checks the record that crosses into a segment whose own records are sound. `links_to` is where,
    /// according to the first record that begins in the segment, the record before it begins.
    pub(super) fn check(&self, segment: &mut Checked, links_to: Option<Lsn>) -> Crossing {
        let end = match record_end(segment) {
            Ok(end) => end,
            Err(e) => return Crossing::Unchecked(format!("could not read the segment: {e}")),
        };
        // The record format of a newer version is not known.
        let Some(major) = segment.header.major() else { return Crossing::Sound };
        let links_to = links_to.filter(|&at| at.is_valid() && at < segment.header.start());
        let crosses = segment.header.continues();
        if !crosses && links_to.is_none() {
            return Crossing::Sound;
        }
        // From 9.2 on the segment in the server's own directory is the one that it has replayed. Before, it
        // can be an incomplete copy from the base backup.
        let (prefer, other) = match major.keeps_restored_segments() {
            true => (Prefer::ServersOwn, Prefer::Archived),
            false => (Prefer::Archived, Prefer::ServersOwn),
        };
        let followed = match self.follow(prefer, segment, end, links_to) {
            Ok(followed) => followed,
            Err(_) if !crosses => return Crossing::Sound,
            Err(why) => return Crossing::Unchecked(why),
        };
        let Some((at, why)) = &followed.stop else {
            return match end {
                RecordEnd::Later if crosses => Crossing::Within,
                _ => Crossing::Sound,
            };
        };
        let other = self.follow(other, segment, end, links_to).ok();
        let sound = other.filter(|other| other.stop.is_none() && other.copies != followed.copies);
        let unfinished = followed.stop_in.is_some() && why.is_unwritten();
        if sound.is_some() && unfinished {
            // No server replays past that, so it is not the copy that this one has replayed.
            return Crossing::Sound;
        }
        Crossing::Damaged { at: *at, why: followed.describe(why, sound.as_ref()) }
    }

    /// Walks from the record's beginning into the segment. The error says why that is not possible.
    fn follow(
        &self,
        prefer: Prefer,
        segment: &mut Checked,
        end: RecordEnd,
        links_to: Option<Lsn>,
    ) -> Result<Followed, String> {
        let (copies, mut walk) = self.walk_back(prefer, segment, end, links_to)?;
        let mut stop_in = Some(copies.len() - 1);
        for (index, copy) in copies.iter().enumerate().rev().skip(1) {
            let Some(next) = walk.clone().into_next(&copy.header, copy.name) else { break };
            walk = next;
            stop_in = Some(index);
            copy.push_to(&mut walk)?;
        }
        if let Some(next) = walk.clone().into_next(&segment.header, segment.name) {
            walk = next;
            stop_in = None;
            let done = |walk: &SegmentWalk| match end {
                // One record further, so that its link to this one is checked too.
                RecordEnd::At(end) => walk.sound_to() > end,
                RecordEnd::Later => walk.next_page() > 0,
            };
            push_pages(&mut walk, segment.file, &segment.header, done)
                .map_err(|e| format!("could not read the segment: {e}"))?;
        }
        let copies = copies.into_iter().map(|copy| copy.path).collect();
        Ok(Followed { copies, stop: stop_of(&walk), stop_in })
    }

    /// Goes back to the segment in which the record begins, and walks from there to that segment's end.
    /// In the middle of a record the segment before is enough to see whether this one continues it.
    fn walk_back(
        &self,
        prefer: Prefer,
        segment: &Checked,
        end: RecordEnd,
        links_to: Option<Lsn>,
    ) -> Result<(Vec<Copy>, SegmentWalk), String> {
        let layout = segment.header.layout();
        let mut copies = Vec::new();
        let (mut name, mut header) = (segment.name, segment.header);
        loop {
            // The first page may still be the ancestor's, and so is the segment before then.
            let timeline = header.first_timeline();
            let Some(before) = layout.previous(SegmentName { timeline, ..name }) else {
                return Err(format!("no segment can be before {name}, which continues a record"));
            };
            let copy = self.find(prefer, before, &header.expected())?;
            (name, header) = (before, copy.header);
            let walk = copy.walk_from(links_to)?;
            copies.push(copy);
            match walk {
                Walked::FromBeginning(walk) => return Ok((copies, walk)),
                Walked::WithinRecord(walk) if matches!(end, RecordEnd::Later) => {
                    return Ok((copies, walk));
                }
                Walked::WithinRecord(_) | Walked::BeginsEarlier => {}
            }
        }
    }

    /// The copy of a segment to read.
    fn find(&self, prefer: Prefer, name: SegmentName, expected: &Expected) -> Result<Copy, String> {
        let file = name.to_string();
        let own = ["pg_wal", "pg_xlog"].map(|wal| self.data_directory.join(wal));
        let archive = self.archive.to_owned();
        let mut paths: Vec<_> = own.iter().chain([&archive]).map(|dir| dir.join(&file)).collect();
        if let Prefer::Archived = prefer {
            paths.rotate_right(1);
        }
        let mut unfit = Vec::new();
        for path in paths {
            match Copy::open(&path, name, expected) {
                Ok(copy) => return Ok(copy),
                Err(None) => {}
                Err(Some(why)) => unfit.push(format!("{}: {why}", path.display())),
            }
        }
        let (own, archive) = (own.iter().find(|dir| dir.is_dir()), archive.display());
        let directories = match own {
            Some(own) => format!("neither in \"{}\" nor in \"{archive}\"", own.display()),
            None => format!("not in \"{archive}\""),
        };
        let why = if unfit.is_empty() { format!("it is {directories}") } else { unfit.join("; ") };
        Err(format!(
            "it continues a record that cannot be checked without {name}: {why}; put an intact {name} into the archive"
        ))
    }
}

/// A file of an earlier segment. It is not kept open, since a record may cross a thousand of them.
struct Copy {
    path: PathBuf,
    name: SegmentName,
    header: SegmentHeader,
}

/// The result of a walk through an earlier segment.
enum Walked {
    /// It knows the record from its beginning.
    FromBeginning(SegmentWalk),
    /// The whole segment lies within the record.
    WithinRecord(SegmentWalk),
    /// The record begins in a segment before.
    BeginsEarlier,
}

impl Copy {
    /// Opens it and checks its first page. The error says why it is not that segment; it is None if there
    /// is no file.
    fn open(path: &Path, name: SegmentName, expected: &Expected) -> Result<Copy, Option<String>> {
        let mut file = match File::open(path) {
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Err(None);
            }
            opened => opened.map_err(|e| Some(e.to_string()))?,
        };
        let header = read_segment_header(&mut file, name, expected)
            .map_err(|e| Some(e.to_string()))?
            .map_err(|why| Some(why.to_string()))?;
        Ok(Copy { path: path.to_owned(), name, header })
    }

    /// Walks to its end: from the record that begins here, or from its start if the position of that record
    /// is not known.
    fn walk_from(&self, record: Option<Lsn>) -> Result<Walked, String> {
        let walk = match record {
            Some(at) => SegmentWalk::from_record(&self.header, self.name, at),
            None => Some(SegmentWalk::new(&self.header, self.name)),
        };
        let Some(mut walk) = walk else { return Ok(Walked::BeginsEarlier) };
        self.push_to(&mut walk)?;
        let within = record.is_none()
            && walk.ended().is_none()
            && self.header.continues()
            && walk.sound_to() == self.header.start();
        Ok(if within { Walked::WithinRecord(walk) } else { Walked::FromBeginning(walk) })
    }

    fn push_to(&self, walk: &mut SegmentWalk) -> Result<(), String> {
        File::open(&self.path)
            .and_then(|mut file| push_pages(walk, &mut file, &self.header, |_| false))
            .map_err(|e| format!("could not read \"{}\": {e}", self.path.display()))
    }
}

impl Followed {
    /// Says what is damaged, as far as it is known, and what to do. `sound` are other copies of the same
    /// segments, with which the record is sound.
    fn describe(&self, why: &StopReason, sound: Option<&Followed>) -> String {
        let path = |path: &PathBuf| format!("\"{}\"", path.display());
        let begins = self.copies.last().map(path).unwrap_or_default();
        let between: Vec<_> = self.copies.iter().rev().skip(1).map(path).collect();
        let mut said = format!("{why}, as it crosses from {begins}");
        if !between.is_empty() {
            said += &format!(" through {}", between.join(", "));
        }
        if let Some(sound) = sound {
            let pairs = self.copies.iter().zip(&sound.copies);
            for (damaged, sound) in pairs.filter(|(ours, theirs)| differ(ours, theirs)) {
                said += &format!("; {} is damaged, {} is intact", path(damaged), path(sound));
            }
            return said + "; start the server again, so that it replays the intact one";
        }
        if let (Some(index), None) = (self.stop_in, why.record()) {
            said += &format!("; {} is damaged", path(&self.copies[index]));
        } else {
            said += "; one of these segments is damaged, but it is not known which";
        }
        said + "; put intact ones into the archive, then start the server again"
    }
}

fn differ(one: &Path, other: &Path) -> bool {
    one != other && !matches!((fs::read(one), fs::read(other)), (Ok(a), Ok(b)) if a == b)
}

/// The end of the record that crosses into a segment; the start of the segment if there is none.
fn record_end(segment: &mut Checked) -> io::Result<RecordEnd> {
    let start = segment.header.start();
    if !segment.header.continues() {
        return Ok(RecordEnd::At(start));
    }
    let mut walk = SegmentWalk::new(&segment.header, segment.name);
    push_pages(&mut walk, segment.file, &segment.header, |walk| walk.sound_to() > start)?;
    Ok(match walk.sound_to() {
        end if end > start => RecordEnd::At(end),
        _ => RecordEnd::Later,
    })
}

fn stop_of(walk: &SegmentWalk) -> Option<(Lsn, StopReason)> {
    match walk.ended() {
        Some(WalEnd::Stops { at, why }) => Some((*at, why.clone())),
        _ => None,
    }
}
