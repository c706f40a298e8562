use std::borrow::Cow;

use super::{Lsn, SegmentName, TimelineId};

/// A `backup_label`, of any version, with the text it was read from: where recovery of a base backup
/// starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    text: Vec<u8>,
    start: Boundary,
    checkpoint: Lsn,
    start_timeline: Option<TimelineId>,
    incremental_from: Option<(Lsn, TimelineId)>,
}

/// A `.backup` file, of any version, with the text it was read from: where a base backup started and
/// where its WAL must be replayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHistory {
    label: BackupLabel,
    stop: Boundary,
    stop_timeline: Option<TimelineId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boundary {
    lsn: Lsn,
    segment: SegmentName,
}

impl BackupLabel {
    /// Reads a label as strictly as the server does: the first two lines to the letter, with LF line
    /// ends; the rest may be there, in any order, with lines that nobody knows.
    pub fn parse(text: &[u8]) -> Result<BackupLabel, BadBackupLabel> {
        let mut lines = Lines { rest: text, line: 0 };
        let start = lines.boundary("START WAL LOCATION: ")?;
        let checkpoint = lines.checkpoint()?;
        BackupLabel::with(text, start, checkpoint)
    }

    fn with(text: &[u8], start: Boundary, checkpoint: Lsn) -> Result<BackupLabel, BadBackupLabel> {
        let mut label = BackupLabel {
            text: text.to_owned(),
            start,
            checkpoint,
            start_timeline: None,
            incremental_from: None,
        };
        label.start_timeline = label.value("START TIMELINE")?;
        if let Some(timeline) = label.start_timeline.filter(|&t| t != start.segment.timeline) {
            return Err(BadBackupLabel::OtherTimeline { segment: start.segment, timeline });
        }
        let lsn: Option<Lsn> = label.value("INCREMENTAL FROM LSN")?;
        label.incremental_from = lsn.zip(label.value("INCREMENTAL FROM TLI")?);
        Ok(label)
    }

    /// The file's content, byte by byte as it was read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The redo position of the backup's checkpoint: replay starts here.
    pub fn start_lsn(&self) -> Lsn {
        self.start.lsn
    }

    /// The segment that holds the start: the oldest that the backup needs.
    pub fn start_segment(&self) -> SegmentName {
        self.start.segment
    }

    /// The position of the backup's checkpoint record, in or after the start segment.
    pub fn checkpoint(&self) -> Lsn {
        self.checkpoint
    }

    /// `pg_start_backup` or `streamed`; from 9.1 on.
    pub fn method(&self) -> Option<Cow<'_, str>> {
        self.text_of("BACKUP METHOD")
    }

    /// What the backup was taken from: `standby`, or `master` (9.2 to 13) or `primary` (from 14 on).
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.text_of("BACKUP FROM")
    }

    /// When the backup started, as the server prints times: with a zone's abbreviation, so not safe to
    /// calculate with.
    pub fn start_time(&self) -> Option<Cow<'_, str>> {
        self.text_of("START TIME")
    }

    /// What the backup was called; bytes that are no UTF-8 are replaced.
    pub fn label(&self) -> Option<Cow<'_, str>> {
        self.text_of("LABEL")
    }

    /// The timeline that the backup started on; from 11 on, and before that the start segment's.
    pub fn start_timeline(&self) -> TimelineId {
        self.start_timeline.unwrap_or(self.start.segment.timeline)
    }

    /// What an incremental backup (17 on) builds on: start and timeline of the earlier one. A server
    /// does not start on such a directory.
    pub fn incremental_from(&self) -> Option<(Lsn, TimelineId)> {
        self.incremental_from
    }

    /// The text behind the first line of this title.
    fn text_of(&self, title: &str) -> Option<Cow<'_, str>> {
        let lines = self.text.split(|&b| b == b'\n');
        let mut values =
            lines.filter_map(|line| line.strip_prefix(title.as_bytes())?.strip_prefix(b":"));
        let value = String::from_utf8_lossy(values.next()?);
        Some(match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(' ').unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.strip_prefix(' ').unwrap_or(&text).to_owned()),
        })
    }

    fn value<T: std::str::FromStr>(
        &self,
        title: &'static str,
    ) -> Result<Option<T>, BadBackupLabel> {
        let Some(text) = self.text_of(title) else { return Ok(None) };
        let bad = |_| BadBackupLabel::BadValue { title, value: text.to_string() };
        text.trim().parse().map(Some).map_err(bad)
    }
}

impl BackupHistory {
    /// Reads a `.backup` file; strict about the first three lines.
    pub fn parse(text: &[u8]) -> Result<BackupHistory, BadBackupLabel> {
        let mut lines = Lines { rest: text, line: 0 };
        let start = lines.boundary("START WAL LOCATION: ")?;
        let stop = lines.boundary("STOP WAL LOCATION: ")?;
        let checkpoint = lines.checkpoint()?;
        let label = BackupLabel::with(text, start, checkpoint)?;
        let stop_timeline = label.value("STOP TIMELINE")?;
        Ok(BackupHistory { label, stop, stop_timeline })
    }

    /// The file's content, byte by byte as it was read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.label.text
    }

    /// What the file repeats of the backup's label; its own bytes are the `.backup` file's.
    pub fn label(&self) -> &BackupLabel {
        &self.label
    }

    /// WAL must be replayed to here before the backup is consistent.
    pub fn stop_lsn(&self) -> Lsn {
        self.stop.lsn
    }

    /// The last segment that the backup needs. From 16 on, where the stop is a segment's very start,
    /// this names that segment although nothing of it is needed.
    pub fn stop_segment(&self) -> SegmentName {
        self.stop.segment
    }

    /// When the backup ended, as the server prints times.
    pub fn stop_time(&self) -> Option<Cow<'_, str>> {
        self.label.text_of("STOP TIME")
    }

    /// The timeline that the backup ended on; from 11 on, and before that the stop segment's.
    pub fn stop_timeline(&self) -> TimelineId {
        self.stop_timeline.unwrap_or(self.stop.segment.timeline)
    }
}

/// The strict lines at the top.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    /// The value of the next line, which must have this title and end in LF.
    fn next(&mut self, title: &'static str) -> Result<Cow<'a, str>, BadBackupLabel> {
        self.line += 1;
        let missing = BadBackupLabel::Missing { line: self.line, title: title.trim_end() };
        let Some(end) = self.rest.iter().position(|&b| b == b'\n') else { return Err(missing) };
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        let value = line.strip_prefix(title.as_bytes()).ok_or(missing)?;
        Ok(String::from_utf8_lossy(value))
    }

    /// `X/X (file SEGMENT)`
    fn boundary(&mut self, title: &'static str) -> Result<Boundary, BadBackupLabel> {
        let value = self.next(title)?;
        let parse = || {
            let (lsn, file) = value.split_once(" (file ")?;
            let segment = file.strip_suffix(')')?.parse().ok()?;
            Some(Boundary { lsn: lsn.parse().ok()?, segment })
        };
        let bad = || BadBackupLabel::BadValue { title: title.trim_end(), value: value.to_string() };
        parse().ok_or_else(bad)
    }

    fn checkpoint(&mut self) -> Result<Lsn, BadBackupLabel> {
        let title = "CHECKPOINT LOCATION: ";
        let value = self.next(title)?;
        let bad =
            |_| BadBackupLabel::BadValue { title: title.trim_end(), value: value.to_string() };
        value.parse().map_err(bad)
    }
}

/// The text is no backup_label or `.backup` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBackupLabel {
    /// One of the first lines is not the one that stands there in every version, or does not end in LF.
    #[error("line {line} is not \"{title}\"")]
    Missing {
        /// Counted from 1.
        line: usize,
        /// What the line should begin with.
        title: &'static str,
    },
    /// A line's value can't be read.
    #[error("\"{title}\" has a value that can't be read: \"{value}\"")]
    BadValue {
        /// The line's title.
        title: &'static str,
        /// What stands behind it.
        value: String,
    },
    /// The start segment's name and START TIMELINE disagree; the server refuses such a label.
    #[error("starts in {segment} but on timeline {timeline}")]
    OtherTimeline {
        /// Of the first line.
        segment: SegmentName,
        /// Of the line START TIMELINE.
        timeline: TimelineId,
    },
}
