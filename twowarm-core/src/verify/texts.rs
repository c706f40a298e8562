use std::collections::HashMap;
use std::fmt::Display;

use super::histories::Histories;
use super::{Finding, FindingKind};
use crate::archive::Archive;
use crate::version::PgMajor;
use crate::wal::{BackupHistory, SegmentName, TextVerdict, WalFileName, check_history, check_text};

/// The content of the timeline history and backup history files.
pub(super) struct Texts {
    pub histories: Histories,
    /// The start of the oldest base copy.
    pub oldest_copy: Option<SegmentName>,
    pub findings: Vec<Finding>,
}

impl Texts {
    pub(super) fn read(archive: &Archive, names: &[WalFileName], major: Option<PgMajor>) -> Texts {
        let mut findings = Vec::new();
        let mut histories = HashMap::new();
        let mut copies = Vec::new();
        for &name in names {
            let mut found = |kind, why: &dyn Display| {
                findings.push(Finding::new(kind, &name.to_string(), why));
            };
            let text = match archive.read(name) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(error) => {
                    found(FindingKind::Unreadable, &error);
                    continue;
                }
            };
            match (name, check_text(name, &text, major)) {
                (WalFileName::History(timeline), Ok(_)) => {
                    histories.insert(timeline, check_history(timeline, &text).ok());
                }
                (WalFileName::History(timeline), Err(bad)) => {
                    histories.insert(timeline, None);
                    found(FindingKind::BadHistory, &bad);
                }
                (_, Ok(TextVerdict::Unneeded(bad)) | Err(bad)) => {
                    found(FindingKind::BadBackupFile, &bad);
                }
                (_, Ok(TextVerdict::Sound)) => {
                    let backup = BackupHistory::parse(&text);
                    copies.extend(backup.map(|backup| backup.label().start_segment()));
                }
            }
        }
        let oldest_copy = copies.into_iter().min_by_key(|start| start.place);
        Texts { histories: Histories::new(histories), oldest_copy, findings }
    }
}
