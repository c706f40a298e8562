use std::collections::BTreeMap;
use std::fmt;

use super::conversation::Conversation;
use super::plan::Directory;
use super::{CopyError, Progress};
use crate::base_copy::rules_without_cluster;
use crate::data_directory::CONFIGURATION;
use crate::rsync::{Event, Remote, Transfer};

/// rsync's options for a dry run of a copy. With `--existing` rsync leaves out what is new: otherwise a
/// symbolic link that is replaced by a file looks like a new file.
const DRY_RUN: [&str; 6] =
    ["-rlpt", "--checksum", "--delete", "--dry-run", "--existing", "--out-format=%i %n"];

/// How many names of each kind are printed.
const LISTED: usize = 20;

/// Files of the other node that are not part of the cluster and that the copy would delete or overwrite.
/// Is printed as `deleted: NAME, NAME; overwritten: NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyLosses {
    /// The other node's data directory, as `NODE:PATH`.
    pub target: String,
    /// Top-level names that would be deleted, and the number of files below each. The name of a directory
    /// ends in a slash.
    pub deleted: BTreeMap<String, usize>,
    /// Paths that would be overwritten: files with different content, symbolic links with a different
    /// target, and what would be replaced by a file of another type.
    pub overwritten: Vec<String>,
}

impl CopyLosses {
    /// Whether nothing is lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.overwritten.is_empty()
    }

    /// Adds a line of the dry run's output: rsync's itemized change, and the path.
    fn add(&mut self, line: &str) {
        let Some((change, path)) = line.split_once(' ') else { return };
        let path = path.trim_start();
        let mut flags = change.chars();
        match (flags.next(), flags.next(), flags.next()) {
            (Some('*'), ..) if change == "*deleting" => {
                let top = match path.split_once('/') {
                    Some((top, _)) => format!("{top}/"),
                    None => path.to_owned(),
                };
                *self.deleted.entry(top).or_default() += usize::from(!path.ends_with('/'));
            }
            (Some('<' | 'c'), Some('f' | 'L' | 'd'), Some('c' | '+')) => {
                self.overwritten.push(path.trim_end_matches('/').to_owned());
            }
            _ => {}
        }
    }
}

impl fmt::Display for CopyLosses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deleted = self.deleted.iter().map(|(name, files)| match name.ends_with('/') {
            true => format!("{name} ({files} {})", if *files == 1 { "file" } else { "files" }),
            false => name.clone(),
        });
        let kinds = [("deleted", deleted.collect()), ("overwritten", self.overwritten.clone())];
        let mut separator = "";
        for (kind, mut names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            let more = names.len().saturating_sub(LISTED);
            names.truncate(LISTED);
            if more > 0 {
                names.push(format!("and {more} more"));
            }
            write!(f, "{separator}{kind}: {}", names.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}

/// Finds the losses by a dry run of the copy of the data directory. Configuration files are only reported: the source's
/// replace them.
pub(super) fn find(
    other: &mut Conversation<'_>,
    remote: &Remote,
    data: &Directory,
) -> Result<CopyLosses, CopyError> {
    let rules = rules_without_cluster() + &data.rules;
    let transfer =
        Transfer { remote, from: &data.from, to: &data.to, options: &DRY_RUN, rules: &rules };
    let target = format!("{}:{}", remote.name(), data.to.display());
    let mut losses = CopyLosses { target, ..CopyLosses::default() };
    transfer.run(&mut |event| match event {
        Event::Line(line) => {
            losses.add(line);
            Ok(())
        }
        Event::Progress(_) => Ok(()),
        Event::Tick => other.keep_alive(),
    })?;
    let is_configuration = |path: &mut String| CONFIGURATION.contains(&path.as_str());
    for name in losses.overwritten.extract_if(.., is_configuration) {
        other.report(Progress::ConfigurationOverwritten(&name));
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_losses_are_reported() {
        let mut losses = CopyLosses::default();
        for line in [
            "*deleting   dumps/a b.sql",
            "*deleting   dumps/old/",
            "*deleting   dumps/",
            "*deleting   server.key",
            "*deleting   empty/",
            "<fc.t...... conf.d/x.conf",
            "<f..t...... conf.d/same.conf",
            ".d..t...... ./",
            "<fcst...... pg_hba.conf",
            "<f+++++++++ a-link-before.conf",
            "cLc........ link",
            "cd+++++++++ a-file-before/",
            "sending incremental file list",
            "",
        ] {
            losses.add(line);
        }
        assert_eq!(
            losses.to_string(),
            "deleted: dumps/ (1 file), empty/ (0 files), server.key; \
             overwritten: conf.d/x.conf, pg_hba.conf, a-link-before.conf, link, a-file-before"
        );
    }

    #[test]
    fn long_lists_are_shortened() {
        let overwritten = (0..LISTED + 2).map(|n| n.to_string()).collect();
        let losses = CopyLosses { overwritten, ..CopyLosses::default() };
        let text = losses.to_string();
        assert!(
            text.starts_with("overwritten: 0, 1") && text.ends_with("19, and 2 more"),
            "{text}"
        );
    }
}
