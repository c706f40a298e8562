use std::borrow::Cow;

use super::{Lsn, SegmentName, TimelineId};

/// A `backup_label` of any version, with its text: where recovery of a base backup starts.
///
/// ```
/// use twowarm_core::wal::BackupLabel;
///
/// let text = b"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
///     CHECKPOINT LOCATION: 0/2000060\n\
///     BACKUP METHOD: streamed\n";
/// let label = BackupLabel::parse(text)?;
/// assert_eq!(label.start_lsn(), "0/2000028".parse()?);
/// assert_eq!(label.start_segment().to_string(), "000000010000000000000002");
/// assert_eq!(label.method().as_deref(), Some("streamed"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    text: Vec<u8>,
    start: Boundary,
    checkpoint: Lsn,
    start_timeline: Option<TimelineId>,
    incremental_from: Option<(Lsn, TimelineId)>,
}

/// A backup history file (`.backup`) of any version, with its text: where a base backup started, and how far
/// its WAL must be replayed.
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
    /// Parses a label as strictly as the server does. The first two lines must match exactly and end in LF;
    /// the others are optional and in any order, and unknown lines are ignored.
    ///
    /// # Errors
    /// If a server would refuse the label.
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

    /// The content of the file, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The redo position of the backup's checkpoint, where replay starts.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.start.lsn
    }

    /// The segment in which replay starts, the oldest one that the backup needs.
    #[must_use]
    pub fn start_segment(&self) -> SegmentName {
        self.start.segment
    }

    /// The position of the backup's checkpoint record, in the start segment or after it.
    #[must_use]
    pub fn checkpoint(&self) -> Lsn {
        self.checkpoint
    }

    /// `pg_start_backup` or `streamed`; from 9.1 on.
    #[must_use]
    pub fn method(&self) -> Option<Cow<'_, str>> {
        self.text_of("BACKUP METHOD")
    }

    /// What the backup was taken from: `standby`, or `master` (9.2 to 13) or `primary` (from 14 on).
    #[must_use]
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.text_of("BACKUP FROM")
    }

    /// When the backup started, as the server printed it. The time zone is an abbreviation, which can be
    /// ambiguous.
    #[must_use]
    pub fn start_time(&self) -> Option<Cow<'_, str>> {
        self.text_of("START TIME")
    }

    /// The label of the backup; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn label(&self) -> Option<Cow<'_, str>> {
        self.text_of("LABEL")
    }

    /// The timeline on which the backup started: from 11 on as the label says, before 11 that of the start
    /// segment.
    #[must_use]
    pub fn start_timeline(&self) -> TimelineId {
        self.start_timeline.unwrap_or(self.start.segment.timeline)
    }

    /// For an incremental backup (17 on): start and timeline of the backup it is based on. A server refuses
    /// to start in such a directory.
    #[must_use]
    pub fn incremental_from(&self) -> Option<(Lsn, TimelineId)> {
        self.incremental_from
    }

    /// The value of the first line with this title.
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
    /// Parses a backup history file. The first three lines must match exactly.
    ///
    /// # Errors
    /// If the file is incomplete, or a server would refuse it.
    pub fn parse(text: &[u8]) -> Result<BackupHistory, BadBackupLabel> {
        let mut lines = Lines { rest: text, line: 0 };
        let start = lines.boundary("START WAL LOCATION: ")?;
        let stop = lines.boundary("STOP WAL LOCATION: ")?;
        let checkpoint = lines.checkpoint()?;
        let label = BackupLabel::with(text, start, checkpoint)?;
        let stop_timeline = label.value("STOP TIMELINE")?;
        Ok(BackupHistory { label, stop, stop_timeline })
    }

    /// The content of the file, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.label.text
    }

    /// The lines that the file repeats from the backup label. Its bytes are those of the whole file.
    #[must_use]
    pub fn label(&self) -> &BackupLabel {
        &self.label
    }

    /// The position up to which WAL must be replayed before the backup is consistent.
    #[must_use]
    pub fn stop_lsn(&self) -> Lsn {
        self.stop.lsn
    }

    /// The last segment that the backup needs. From 16 on, if the backup stops exactly at the start of a
    /// segment, this is that segment although its content is not needed.
    #[must_use]
    pub fn stop_segment(&self) -> SegmentName {
        self.stop.segment
    }

    /// When the backup ended, as the server printed it.
    #[must_use]
    pub fn stop_time(&self) -> Option<Cow<'_, str>> {
        self.label.text_of("STOP TIME")
    }

    /// The timeline on which the backup ended: from 11 on as the file says, before 11 that of the stop segment.
    #[must_use]
    pub fn stop_timeline(&self) -> TimelineId {
        self.stop_timeline.unwrap_or(self.stop.segment.timeline)
    }
}

/// The lines at the top, which must match exactly.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    /// The value of the next line, which must begin with this title and end in LF.
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

/// Why a text is not a backup label or a backup history file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBackupLabel {
    /// One of the first lines is not the expected one, or does not end in LF.
    #[error("line {line} does not begin with \"{title}\"")]
    Missing {
        /// The number of the line, from 1.
        line: usize,
        /// What the line should begin with.
        title: &'static str,
    },
    /// The value of a line is invalid.
    #[error("invalid value for \"{title}\": \"{value}\"")]
    BadValue {
        /// The title of the line.
        title: &'static str,
        /// The text after it.
        value: String,
    },
    /// The name of the start segment and START TIMELINE disagree.
    #[error("START WAL LOCATION names segment {segment}, but START TIMELINE is {timeline}")]
    OtherTimeline {
        /// The segment in the first line.
        segment: SegmentName,
        /// The value of START TIMELINE.
        timeline: TimelineId,
    },
}
