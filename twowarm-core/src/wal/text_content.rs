use super::{
    BackupHistory, BadBackupLabel, HistoryError, SegmentName, TimelineHistory, TimelineId,
    WalFileName,
};
use crate::version::PgMajor;

/// The largest accepted timeline or backup history file, in bytes. A timeline history has one line for each
/// promotion, a backup history a dozen lines.
pub const MAX_TEXT: u64 = 1 << 20;

/// The result of [`check_text`] for a file that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextVerdict {
    /// The content matches the name.
    Sound,
    /// The content does not match the name, but no server of this version reads such a file.
    Unneeded(BadText),
}

/// Checks that a text is the timeline or backup history file of this name, in a cluster of this major version.
/// Sender, receiver and restore all use this check. Segments are accepted unchecked.
///
/// From 9.0 on the end of a backup is recorded in the WAL, and servers do not read backup history files. They do
/// not fsync them either, so that one can be empty after a crash; it must not block the segments after it.
///
/// # Errors
/// If the content does not match the name and a server may read it.
pub fn check_text(
    name: WalFileName,
    text: &[u8],
    major: Option<PgMajor>,
) -> Result<TextVerdict, BadText> {
    check_text_size(name, text.len() as u64)?;
    match name {
        WalFileName::Segment(_) | WalFileName::Partial(_) => Ok(TextVerdict::Sound),
        WalFileName::History(timeline) => check_history(timeline, text).map(|_| TextVerdict::Sound),
        WalFileName::Backup(segment, _) => match check_backup(name, segment, text) {
            Ok(()) => Ok(TextVerdict::Sound),
            Err(bad) if major.is_some_and(PgMajor::has_backup_end_in_wal) => {
                Ok(TextVerdict::Unneeded(bad))
            }
            Err(bad) => Err(bad),
        },
    }
}

/// Checks the size of a timeline or backup history file, in bytes, before it is read.
///
/// # Errors
/// If it is larger than [`MAX_TEXT`].
pub fn check_text_size(name: WalFileName, bytes: u64) -> Result<(), BadText> {
    if bytes > MAX_TEXT { Err(BadText::TooLong { name, bytes }) } else { Ok(()) }
}

/// Parses the history of this timeline, which must have an ancestor.
pub(crate) fn check_history(timeline: TimelineId, text: &[u8]) -> Result<TimelineHistory, BadText> {
    let name = WalFileName::History(timeline);
    let history =
        TimelineHistory::parse(timeline, text).map_err(|error| BadText::History { name, error })?;
    // A server would take it for a timeline without ancestors and request segments that do not exist.
    if history.ancestors().is_empty() && timeline != TimelineId::FIRST {
        return Err(BadText::NoAncestor { name });
    }
    Ok(history)
}

fn check_backup(name: WalFileName, segment: SegmentName, text: &[u8]) -> Result<(), BadText> {
    let backup = BackupHistory::parse(text).map_err(|error| BadText::Backup { name, error })?;
    match backup.label().start_segment() {
        found if found != segment => Err(BadText::OtherBackup { name, found }),
        _ => Ok(()),
    }
}

/// Why the content of a file does not match its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadText {
    /// The file is larger than [`MAX_TEXT`].
    #[error("{name} has {bytes} bytes; the limit is {MAX_TEXT}")]
    TooLong {
        /// The name of the file.
        name: WalFileName,
        /// The size of the file.
        bytes: u64,
    },
    /// A server would refuse the timeline history file.
    #[error("{name} is not a timeline history file: {error}")]
    History {
        /// The name of the file.
        name: WalFileName,
        /// What is wrong in it.
        error: HistoryError,
    },
    /// The timeline history file is empty or has only comments.
    #[error("{name} is not a timeline history file: it has no ancestor")]
    NoAncestor {
        /// The name of the file.
        name: WalFileName,
    },
    /// The backup history file is invalid.
    #[error("{name} is not a backup history file: {error}")]
    Backup {
        /// The name of the file.
        name: WalFileName,
        /// What is wrong in it.
        error: BadBackupLabel,
    },
    /// The backup history file describes another backup.
    #[error("{name} describes a backup that starts in {found}")]
    OtherBackup {
        /// The name of the file.
        name: WalFileName,
        /// The start segment in the file.
        found: SegmentName,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: &str = "000000010000000000000002.00000028.backup";

    fn check(name: &str, text: &[u8], major: &str) -> Result<TextVerdict, BadText> {
        check_text(name.parse().unwrap(), text, Some(major.parse().unwrap()))
    }

    #[test]
    fn a_history_names_an_ancestor() {
        let sound = Ok(TextVerdict::Sound);
        for major in ["8.2", "9.0", "18"] {
            assert_eq!(check("00000002.history", b"1\t0/3000158\tx\n", major), sound);
            for bad in [&b""[..], b"# nothing\n\n", b"\0\0\0\0", b"2\t0/3000158\tx\n"] {
                assert!(check("00000002.history", bad, major).is_err(), "{bad:?}");
            }
            assert_eq!(check("00000001.history", b"", major), sound);
        }
    }

    #[test]
    fn a_backup_file_matters_before_9_0_only() {
        let good = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
            STOP WAL LOCATION: 0/2000100 (file 000000010000000000000002)\n\
            CHECKPOINT LOCATION: 0/2000060\n";
        let other = good.replace("000000010000000000000002)", "000000010000000000000003)");
        for major in ["8.2", "8.4", "9.0", "18"] {
            assert_eq!(check(BACKUP, good.as_bytes(), major), Ok(TextVerdict::Sound));
        }
        for bad in [b"".as_slice(), b"invalid", other.as_bytes()] {
            check(BACKUP, bad, "8.4").unwrap_err();
            check_text(BACKUP.parse().unwrap(), bad, None).unwrap_err();
            for major in ["9.0", "18"] {
                let verdict = check(BACKUP, bad, major).unwrap();
                assert!(matches!(verdict, TextVerdict::Unneeded(_)), "{verdict:?}");
            }
        }
    }

    #[test]
    fn there_is_one_limit() {
        let long = vec![b'#'; MAX_TEXT as usize + 1];
        for name in ["00000001.history", BACKUP] {
            assert!(matches!(check(name, &long, "18"), Err(BadText::TooLong { .. })));
        }
        assert!(check("00000001.history", &long[1..], "18").is_ok());
    }
}
