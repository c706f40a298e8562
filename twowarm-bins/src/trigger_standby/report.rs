//! What triggerStandby tells while it promotes.

use indicatif::HumanDuration;
use twowarm_core::standby::{
    Archiving, Promotion, PromotionMode, PromotionStep, ReceiptState, WaitingFor,
};
use twowarm_core::wal::WalFileName;

use crate::command::print;

/// The files of steps that come one after the other are told in one line.
pub(super) struct Report<'a> {
    promotion: &'a Promotion,
    kept: Vec<WalFileName>,
    fetched: Vec<WalFileName>,
    node: String,
    is_triggered: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(promotion: &'a Promotion) -> Report<'a> {
        let (kept, fetched, node) = (Vec::new(), Vec::new(), String::new());
        Report { promotion, kept, fetched, node, is_triggered: false }
    }

    pub(super) fn step(&mut self, step: PromotionStep<'_>) {
        match step {
            PromotionStep::Kept(name) => self.kept.push(name),
            PromotionStep::Fetched(name) => self.fetched.push(name),
            PromotionStep::Waiting(_) => tell(self.promotion, step),
            other => {
                self.end();
                match other {
                    PromotionStep::Asking(node) => self.node = node.to_owned(),
                    PromotionStep::Triggered { .. } => self.is_triggered = true,
                    _ => {}
                }
                tell(self.promotion, other);
            }
        }
    }

    /// Tells of the files of the last steps.
    pub(super) fn end(&mut self) {
        let archive = self.promotion.archive.display();
        if let Some(names) = listed(&self.kept) {
            let when = if self.is_triggered { "after" } else { "before" };
            print(&format!(
                "Copied into \"{archive}\" from the server's WAL directory {when} the promotion: {names}\n"
            ));
        }
        if let Some(names) = listed(&self.fetched) {
            print(&format!("Fetched from {} into \"{archive}\": {names}\n", self.node));
        }
        self.kept.clear();
        self.fetched.clear();
    }
}

fn listed(names: &[WalFileName]) -> Option<String> {
    Some(match names {
        [] => return None,
        [one] => one.to_string(),
        [one, two] => format!("{one} and {two}"),
        [first, .., last] => format!("{first} to {last}, {} files", names.len()),
    })
}

pub(super) fn receipt(state: &ReceiptState) {
    match state {
        ReceiptState::Complete(segment) => print(&format!(
            "The primary was shut down cleanly, and all its WAL is here (it ends in {segment})\n"
        )),
        ReceiptState::Incomplete { segment, why } => log::warn!(
            "the primary was shut down cleanly in {segment}, but its WAL is not complete here: {why}. It will not be able to rejoin without a copy"
        ),
        ReceiptState::Unreadable(why) => {
            log::warn!("could not read the receipt of a clean shutdown: {why}");
        }
        _ => {}
    }
}

fn tell(promotion: &Promotion, step: PromotionStep<'_>) {
    let archive = promotion.archive.display();
    let pgdata = promotion.data_directory.display();
    match step {
        PromotionStep::ArchiveTimedOut => log::warn!(
            "the archive \"{archive}\" did not answer within {} s, so it could not be checked for a newer timeline and missing segments",
            promotion.archive_limit.as_secs()
        ),
        PromotionStep::Gap(gap) => log::warn!(
            "{gap}, in \"{archive}\": recovery ends before {}, and the WAL in {} and later segments is lost",
            gap.missing,
            gap.found
        ),
        PromotionStep::Damage(damage) => log::warn!(
            "{damage}, in \"{archive}\": recovery ends in or before {}, and the WAL in {} and later segments is lost",
            damage.segment,
            damage.found
        ),
        PromotionStep::NotChecked(segment) => log::warn!(
            "{segment} and later segments were not checked for damage, to save time: recovery ends at the first damaged record"
        ),
        PromotionStep::NotKept { segment, why } => log::warn!(
            "{segment} and later segments of the server's WAL directory could not be copied into \"{archive}\", so the archive may have a gap at the failover: {why}"
        ),
        PromotionStep::NotFetched(why) => {
            log::warn!("could not fetch what the archive lacks: {why}")
        }
        PromotionStep::Receipt(state) => receipt(state),
        PromotionStep::LastSegment { segment, age } => print(&format!(
            "Without a receipt of flushPrimary, later transactions of the primary are lost: the last complete WAL file here is {segment}, which the primary finished {} ago\n",
            HumanDuration(age)
        )),
        PromotionStep::LastTransaction { committed, age } => print(&format!(
            "The last transaction that was replayed was committed at {committed}, {} ago\n",
            HumanDuration(age)
        )),
        PromotionStep::Archiving(Archiving::ForOldPrimary) => {
            print(
                "Archiving is on: the WAL of the new primary is shipped to the old one, which can rejoin (configStandby --rejoin)\n",
            );
        }
        PromotionStep::Archiving(Archiving::ForDrNode) => {
            print(
                "Archiving is on: the WAL of the new primary is shipped to the DR node while the other node cannot follow\n",
            );
        }
        PromotionStep::Archiving(Archiving::Off) => {
            print(
                "Archiving is off: the new primary ships no WAL, since no other node can follow it. HINT: run configStandby on another node and copyToStandby here\n",
            );
        }
        PromotionStep::NotRequested(error) => {
            log::warn!("could not ask the server to promote: {error}");
        }
        PromotionStep::Triggered { is_running } => {
            let when = match promotion.mode {
                PromotionMode::Smart => "it opens after it has replayed all WAL that has arrived",
                PromotionMode::Fast => "it opens without replaying more WAL",
            };
            match is_running {
                true => print(&format!("The server in \"{pgdata}\" was triggered: {when}\n")),
                false => print(&format!(
                    "The trigger file was written, but no server is running in \"{pgdata}\". HINT: start it; {when}\n"
                )),
            }
        }
        PromotionStep::Waiting(WaitingFor::Archive) => {
            log::info!("waiting for the archive to answer")
        }
        PromotionStep::Waiting(WaitingFor::Server) => {
            log::info!("waiting for the server to answer")
        }
        PromotionStep::Waiting(WaitingFor::Connection(error)) => {
            log::info!("waiting for a connection ({error})");
        }
        PromotionStep::Waiting(WaitingFor::Replay { segment, left }) => match left {
            Some(0) => log::info!(
                "waiting for recovery to end: replaying {segment}, the last segment in the archive"
            ),
            Some(left) => {
                log::info!("waiting for recovery to end: replaying {segment}, {left} segments left")
            }
            None => log::info!("waiting for recovery to end: replaying {segment}"),
        },
        PromotionStep::Waiting(WaitingFor::Recovery) => log::info!("waiting for recovery to end"),
        PromotionStep::SetAside(name) => log::warn!(
            "{name} is now in the archive: recovery ended at a damaged segment, and the WAL after the damage was not replayed. HINT: see the server's log"
        ),
        _ => {}
    }
}
