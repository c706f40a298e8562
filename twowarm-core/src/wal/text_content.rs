use super::{
    BackupHistory, BadBackupLabel, HistoryError, SegmentName, TimelineHistory, TimelineId,
    WalFileName,
};
use crate::version::PgMajor;

/// No history or `.backup` file is larger than this, in bytes: a history has a line for each promotion,
/// and a `.backup` file has a dozen lines.
pub const MAX_TEXT: u64 = 1 << 20;

/// What [`check_text`] found of a file that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextVerdict {
    /// It is the file of its name.
    Sound,
    /// It is not, but no server will ever need it.
    Unneeded(BadText),
}

/// Checks that a text can be the history or `.backup` file of this name, in a cluster of this major
/// version: the one test for whoever sends, stores or restores such a file. Of segments it knows nothing.
///
/// From 9.0 on the end of a backup is in the WAL, and no server reads `.backup` files. The server that
/// writes one does not fsync it either, so that it can be empty after a crash: it must not hold up the
/// segments behind it.
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

/// Checks the size alone, in bytes, before any of the file is read.
pub fn check_text_size(name: WalFileName, bytes: u64) -> Result<(), BadText> {
    if bytes > MAX_TEXT { Err(BadText::TooLong { name, bytes }) } else { Ok(()) }
}

/// Reads the history of this timeline, which must name an ancestor.
pub fn check_history(timeline: TimelineId, text: &[u8]) -> Result<TimelineHistory, BadText> {
    let name = WalFileName::History(timeline);
    let history =
        TimelineHistory::parse(timeline, text).map_err(|error| BadText::History { name, error })?;
    // A server takes it for a timeline without ancestors, and goes where no segments are.
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

/// Why a text is not the file of its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BadText {
    #[error("{name} has {bytes} bytes, more than the {MAX_TEXT} that such a file can have")]
    TooLong { name: WalFileName, bytes: u64 },
    #[error("{name} is not a timeline history: {error}")]
    History { name: WalFileName, error: HistoryError },
    #[error("{name} is not a timeline history: it names no ancestor")]
    NoAncestor { name: WalFileName },
    #[error("{name} is not a backup file: {error}")]
    Backup { name: WalFileName, error: BadBackupLabel },
    #[error("{name} describes a backup that began in {found}")]
    OtherBackup { name: WalFileName, found: SegmentName },
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
        for bad in [b"".as_slice(), b"nonsense", other.as_bytes()] {
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
