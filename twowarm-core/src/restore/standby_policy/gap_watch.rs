use std::time::Duration;

use crate::archive::Gap;

/// When a waiting restore_command looks for a gap in the archive, and what it has found.
#[derive(Debug)]
pub(super) struct GapWatch {
    found: Option<Gap>,
    next_look: Duration,
    /// Whether it was reported what the end of recovery loses.
    pub(super) reported: bool,
}

/// The archive is listed after a wait that is longer than a busy primary takes for a segment, and from
/// time to time after that.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

impl Default for GapWatch {
    fn default() -> GapWatch {
        GapWatch { found: None, next_look: FIRST_LOOK, reported: false }
    }
}

impl GapWatch {
    /// Whether it is time to look.
    pub(super) fn is_due(&self, waited: Duration) -> bool {
        waited >= self.next_look
    }

    /// Records what was found.
    pub(super) fn note(&mut self, gap: Option<Gap>, waited: Duration) {
        self.found = gap;
        self.next_look = waited + BETWEEN_LOOKS;
    }

    /// What is wrong during the wait for the missing segment.
    pub(super) fn problem(&self) -> Option<String> {
        let gap = self.found?;
        Some(format!(
            "{gap}. Copy {} into the archive from the primary's pg_wal (pg_xlog before 10) or from the DR node's archive",
            gap.missing
        ))
    }

    /// Reports what is lost when recovery ends.
    pub(super) fn report_loss(&mut self) {
        self.reported = true;
        if let Some(gap) = self.found {
            let Gap { missing, found } = gap;
            log::warn!(
                "{gap}: recovery ends before {missing}, and {found} and later segments are not replayed. If they are needed, stop this server, copy {missing} into the archive, and start again from a base copy"
            );
        }
    }
}
