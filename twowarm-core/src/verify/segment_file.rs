use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;

use super::{Finding, FindingKind};
use crate::archive::Archive;
use crate::version::PgMajor;
use crate::wal::{
    Completeness, Expected, Lsn, SegmentHeader, SegmentName, SegmentWalk, StopReason, Unsound,
    WalEnd, WalFileName, completeness, read_segment_header,
};

/// How much is read at a time, in bytes; a whole number of WAL pages of any size.
const CHUNK: usize = 256 * 1024;

/// A segment or `.partial` file, and what is known about it.
pub(super) struct SegmentFile {
    pub name: WalFileName,
    /// The header, if the file is the segment of its name.
    pub header: Option<SegmentHeader>,
    /// The walk after the last page.
    pub walk: Option<SegmentWalk>,
    /// Where its WAL ends, if that is in the middle.
    pub stop: Option<Stop>,
    /// The first page of the segment's own timeline.
    pub own_timeline_from: Option<Lsn>,
    /// The bytes that were read.
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

pub(super) struct Stop {
    pub at: Lsn,
    pub why: StopReason,
    /// No later page was written.
    pub is_unfinished: bool,
    /// Nothing was written there either.
    pub is_unwritten: bool,
}

impl SegmentFile {
    /// Reads the whole file and checks its records; `None` if it no longer exists.
    pub(super) fn check(
        archive: &Archive,
        name: WalFileName,
        expected: &Expected,
    ) -> Option<SegmentFile> {
        let mut checked = SegmentFile {
            name,
            header: None,
            walk: None,
            stop: None,
            own_timeline_from: None,
            bytes: 0,
            findings: Vec::new(),
        };
        match archive.find(name) {
            Ok(None) => return None,
            Ok(Some(mut file)) => {
                if let Err(error) = checked.read(&mut file, expected) {
                    checked.find(FindingKind::Unreadable, format!("could not be read: {error}"));
                    (checked.header, checked.walk) = (None, None);
                }
            }
            Err(error) => checked.find(FindingKind::Unreadable, error),
        }
        Some(checked)
    }

    /// The segment, if it is not a `.partial` file.
    pub(super) fn segment(&self) -> Option<SegmentName> {
        match self.name {
            WalFileName::Segment(name) => Some(name),
            _ => None,
        }
    }

    /// The name of the segment, of a `.partial` file too.
    pub(super) fn segment_name(&self) -> SegmentName {
        self.name.segment().expect("only segments and .partial files are checked as segments")
    }

    pub(super) fn find(&mut self, kind: FindingKind, detail: impl std::fmt::Display) {
        self.findings.push(Finding::new(kind, &self.name.to_string(), detail));
    }

    fn read(&mut self, file: &mut File, expected: &Expected) -> io::Result<()> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            self.find(FindingKind::Stray, "is not a file");
            return Ok(());
        }
        let name = self.segment_name();
        let header = match read_segment_header(file, name, expected)? {
            Ok(header) => header,
            Err(why) => {
                self.find(kind_of(&why), why);
                return Ok(());
            }
        };
        let mut walk = SegmentWalk::new(&header, name);
        self.walk_through(file, &header, &mut walk)?;
        self.header = Some(header);
        if let Some(unknown) = header.unknown_records() {
            self.find(FindingKind::Unchecked, unknown);
            return Ok(());
        }
        if let Some(WalEnd::Stops { at, why }) = walk.ended() {
            file.rewind()?;
            let last_page =
                Lsn(header.start().0 + header.layout().size().bytes()
                    - u64::from(header.block_size()));
            let is_unfinished = match completeness(name, &header, file)? {
                Completeness::Damaged { .. } => {
                    // In a .partial file WAL may end in the last page.
                    matches!(self.name, WalFileName::Partial(_)) && *at >= last_page
                }
                _ => true,
            };
            let is_unwritten = why.is_unwritten()
                && (*why != StopReason::NoRecord || page_is_empty_from(file, &header, *at)?);
            self.stop = Some(Stop { at: *at, why: why.clone(), is_unfinished, is_unwritten });
        } else if let Some(at) = walk.nonzero_padding() {
            let why = format!("the padding at {at}, outside of records, is not zero");
            self.find(FindingKind::Damaged, why);
        }
        self.walk = Some(walk);
        Ok(())
    }

    /// Reads the whole file, also after the end of its WAL: a restore reads it too.
    fn walk_through(
        &mut self,
        file: &mut File,
        header: &SegmentHeader,
        walk: &mut SegmentWalk,
    ) -> io::Result<()> {
        let (size, page_size) = (header.layout().size().bytes(), header.block_size() as usize);
        let mut buffer = vec![0; CHUNK.min(size as usize)];
        while self.bytes < size {
            let chunk = buffer.len().min((size - self.bytes) as usize);
            file.read_exact(&mut buffer[..chunk])?;
            for (index, page) in buffer[..chunk].chunks(page_size).enumerate() {
                walk.push(page);
                if self.own_timeline_from.is_none()
                    && walk.ended().is_none()
                    && walk.timeline() == self.name.timeline()
                {
                    let offset = self.bytes + (index * page_size) as u64;
                    self.own_timeline_from = Some(Lsn(header.start().0 + offset));
                }
            }
            self.bytes += chunk as u64;
        }
        Ok(())
    }
}

/// Whether a page has only zeros from this position on.
fn page_is_empty_from(file: &mut File, header: &SegmentHeader, at: Lsn) -> io::Result<bool> {
    let (offset, page) = (at.0 - header.start().0, u64::from(header.block_size()));
    let mut rest = vec![0; (page - offset % page) as usize];
    file.read_exact_at(&mut rest, offset)?;
    Ok(rest.iter().all(|&byte| byte == 0))
}

fn kind_of(why: &Unsound) -> FindingKind {
    match why {
        Unsound::TooSmall { .. } | Unsound::TooLarge { .. } => FindingKind::WrongSize,
        Unsound::OtherCluster { .. }
        | Unsound::OtherSegmentSize { .. }
        | Unsound::OtherMajor { .. } => FindingKind::OtherCluster,
        _ => FindingKind::NotTheSegment,
    }
}

/// Segments of one cluster agree in the identifier, the segment size, the version and the page size. Those that
/// differ from most others are of another cluster.
pub(super) fn keep_one_cluster(files: &mut [SegmentFile]) {
    let cluster = |header: &SegmentHeader| {
        (
            header.system_identifier(),
            header.layout().size().bytes(),
            header.major(),
            header.block_size(),
        )
    };
    let mut counts = HashMap::new();
    for header in files.iter().filter_map(|file| file.header) {
        *counts.entry(cluster(&header)).or_insert(0) += 1;
    }
    // Of two that are equally frequent, the same one every time.
    let Some((most, _)) = counts.into_iter().max_by_key(|&(cluster, count)| (count, cluster))
    else {
        return;
    };
    for file in files {
        let Some(found) = file.header.as_ref().map(cluster).filter(|found| *found != most) else {
            continue;
        };
        let text = |(identifier, size, major, block_size): (u64, u64, _, u32)| {
            let major: Option<PgMajor> = major;
            let major = major.map_or("of an unknown version".to_owned(), |m| m.to_string());
            format!(
                "system identifier {identifier}, PostgreSQL {major}, segments of {size} bytes, pages of {block_size} bytes"
            )
        };
        let why = format!(
            "segment of another cluster: {}; most segments have {}",
            text(found),
            text(most)
        );
        file.findings.clear();
        (file.header, file.walk, file.stop) = (None, None, None);
        file.find(FindingKind::OtherCluster, why);
    }
}
