//! What the copy would take from the other node's data directory besides an older copy of the cluster.

use std::io::{self, BufRead, IsTerminal};

use twowarm_core::base_copy::rules_without_cluster;
use twowarm_core::data_directory::CONFIGURATION;
use twowarm_core::identifiers::NodeName;
use twowarm_core::rsync::{Event, Losses, Transfer};

use super::error::CopyError;
use super::far::FarEnd;
use crate::command::print;

/// So many names are shown.
const SHOWN: usize = 20;

/// Names what is not PostgreSQL's and would be deleted or overwritten, and goes on only if that is wanted:
/// `yes`, or as the terminal is answered. Configuration files are named, and need no answer where the
/// primary's take their place.
pub(super) fn obtain(
    far: &mut FarEnd,
    node: &NodeName,
    transfer: &Transfer<'_>,
    yes: bool,
) -> Result<(), CopyError> {
    let mut losses = Losses::default();
    transfer.run(&mut |event| match event {
        Event::Line(line) => {
            losses.add(line);
            Ok(())
        }
        Event::Tick => far.keep_alive(),
        _ => Ok(()),
    })?;
    let is_configuration = |path: &String| CONFIGURATION.contains(&path.as_str());
    let (replaced, overwritten): (Vec<_>, Vec<_>) =
        losses.overwritten.into_iter().partition(is_configuration);
    for name in replaced {
        print(&format!(
            "{name} there is replaced by this node's: to keep it, put it into 2warm/local on {node}\n"
        ));
    }
    let deleted = losses.deleted.into_iter().map(|(name, files)| match name.ends_with('/') {
        true => format!("{name} ({files} files)"),
        false => name,
    });
    let (deleted, overwritten) = (listed(deleted.collect()), listed(overwritten));
    let lost: Vec<String> = [("deleted", deleted), ("overwritten", overwritten)]
        .into_iter()
        .filter_map(|(what, names)| Some(format!("{what}: {}", names?)))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let place = format!("{node}:{}", transfer.to.display());
    let lost = lost.join("; ");
    if !yes && !io::stdin().is_terminal() {
        return Err(CopyError::NotAgreed { place, lost });
    }
    print(&format!("In {place} what is not PostgreSQL's will be {lost}\n"));
    if yes {
        return Ok(());
    }
    print("Type yes to go on: ");
    let answer = far.meanwhile("your answer", || {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    })?;
    match answer {
        Ok(answer) if answer.trim() == "yes" => Ok(()),
        _ => Err(CopyError::NotAgreed { place, lost }),
    }
}

/// The rules of a transfer that only tells about what is not PostgreSQL's.
pub(super) fn rules(rules: &str) -> String {
    rules_without_cluster() + rules
}

fn listed(mut names: Vec<String>) -> Option<String> {
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}
