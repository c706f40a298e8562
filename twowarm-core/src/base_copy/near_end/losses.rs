use super::conversation::Conversation;
use super::{CopyError, Progress, Wait};
use crate::base_copy::rules_without_cluster;
use crate::data_directory::CONFIGURATION;
use crate::rsync::{Event, Losses, Transfer};

/// How many names of each kind are listed.
const LISTED: usize = 20;

/// Files of the other node that are not part of the cluster and that the copy would delete or overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyLosses {
    /// The other node's data directory, as `NODE:PATH`.
    pub target: String,
    /// The files: `deleted: NAME, NAME; overwritten: NAME`.
    pub list: String,
}

/// Finds the losses by a dry run of the transfer, and fails if the caller does not agree to them.
/// Configuration files are reported, but need no agreement: the primary's replace them.
pub(super) fn obtain_agreement(
    other: &mut Conversation<'_>,
    transfer: &Transfer<'_>,
    agree: &mut (dyn FnMut(&CopyLosses) -> bool + Send),
) -> Result<(), CopyError> {
    let rules = rules_without_cluster() + transfer.rules;
    let transfer = Transfer { rules: &rules, ..transfer.clone() };
    let mut losses = Losses::default();
    transfer.run(&mut |event| match event {
        Event::Line(line) => {
            losses.add(line);
            Ok(())
        }
        Event::Progress(_) => Ok(()),
        Event::Tick => other.keep_alive(),
    })?;
    let is_configuration = |path: &String| CONFIGURATION.contains(&path.as_str());
    let (configuration, overwritten): (Vec<_>, Vec<_>) =
        losses.overwritten.into_iter().partition(is_configuration);
    for name in &configuration {
        other.report(Progress::ConfigurationOverwritten(name));
    }
    let deleted = losses.deleted.into_iter().map(|(name, files)| match name.ends_with('/') {
        true => format!("{name} ({files} {})", if files == 1 { "file" } else { "files" }),
        false => name,
    });
    let kinds = [("deleted", deleted.collect()), ("overwritten", overwritten)];
    let list: Vec<String> = kinds
        .into_iter()
        .filter_map(|(kind, names)| Some(format!("{kind}: {}", listed(names)?)))
        .collect();
    if list.is_empty() {
        return Ok(());
    }
    let target = format!("{}:{}", transfer.remote.name(), transfer.to.display());
    let losses = CopyLosses { target, list: list.join("; ") };
    if other.during(Wait::Agreement, || agree(&losses))? {
        return Ok(());
    }
    Err(CopyError::NotAgreed(losses))
}

fn listed(mut names: Vec<String>) -> Option<String> {
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}
