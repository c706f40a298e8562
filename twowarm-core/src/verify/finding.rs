use std::fmt;

/// Something that is wrong in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The name of the file, which may be missing.
    pub file: String,
    /// What is wrong with it, as one line of text.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, file: &str, detail: impl fmt::Display) -> Finding {
        Finding { kind, file: file.to_owned(), detail: detail.to_string().replace('\n', " ") }
    }
}

/// What is wrong with a file of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The archive has no segment.
    Empty,
    /// A segment is missing, and a later one exists.
    Gap,
    /// A file does not have the size of a segment.
    WrongSize,
    /// A segment belongs to another cluster.
    OtherCluster,
    /// A file is not the segment of its name.
    NotTheSegment,
    /// A segment does not belong to the history of its timeline.
    OutsideHistory,
    /// A record or a page of a segment is invalid.
    Damaged,
    /// The WAL of a segment ends in the middle.
    Incomplete,
    /// A segment does not continue the WAL of the segment before it.
    NotContinued,
    /// A timeline history file is missing.
    MissingHistory,
    /// A timeline history file is invalid, or does not match the WAL.
    BadHistory,
    /// Two timeline history files contradict each other.
    HistoriesDisagree,
    /// A backup history file is invalid.
    BadBackupFile,
    /// A file does not belong into an archive.
    Stray,
    /// A file can't be read.
    Unreadable,
    /// A segment can't be checked, because its version is not known.
    Unchecked,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FindingKind::Empty => "empty",
            FindingKind::Gap => "gap",
            FindingKind::WrongSize => "wrong-size",
            FindingKind::OtherCluster => "other-cluster",
            FindingKind::NotTheSegment => "not-the-segment",
            FindingKind::OutsideHistory => "outside-history",
            FindingKind::Damaged => "damaged",
            FindingKind::Incomplete => "incomplete",
            FindingKind::NotContinued => "not-continued",
            FindingKind::MissingHistory => "missing-history",
            FindingKind::BadHistory => "bad-history",
            FindingKind::HistoriesDisagree => "histories-disagree",
            FindingKind::BadBackupFile => "bad-backup-file",
            FindingKind::Stray => "stray",
            FindingKind::Unreadable => "unreadable",
            FindingKind::Unchecked => "unchecked",
        })
    }
}
