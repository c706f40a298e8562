use super::CopyError;
use super::conversation::Conversation;
use super::plan::Directory;
use crate::rsync::{Event, Outcome, Remote, Transfer};

/// rsync's options for a dry run that lists everything that a copy would change.
const DRY_RUN: [&str; 5] =
    ["-rlpt", "--checksum", "--delete", "--dry-run", "--out-format=%i %l %n"];

/// What a copy would change in a directory of the other node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The directory, as `NODE:PATH`.
    pub target: String,
    /// How many files would be created.
    pub new: usize,
    /// How many files have another content and would be overwritten.
    pub overwritten: usize,
    /// The size of both, in bytes. Of an overwritten file only the differences are sent.
    pub bytes: u64,
    /// The files that would be deleted, relative to the directory.
    pub deleted: Vec<String>,
}

impl Changes {
    pub(super) fn of(
        other: &mut Conversation<'_>,
        remote: &Remote,
        directory: &Directory,
    ) -> Result<Changes, CopyError> {
        let ((from, to), rules) = (directory.inner(), &directory.rules);
        let target = format!("{}:{}", remote.name(), to.display());
        let mut changes = Changes { target, ..Changes::default() };
        let transfer = Transfer { remote, from: &from, to: &to, options: &DRY_RUN, rules };
        let outcome = transfer.run(&mut |event| match event {
            Event::Line(line) => {
                changes.add(line);
                Ok(())
            }
            Event::Progress(_) => Ok(()),
            Event::Tick => other.keep_alive(),
        });
        match outcome {
            Ok(Outcome::Partial(lines)) => {
                log::warn!("not everything could be listed: {}", lines.join("; "));
            }
            other => _ = other?,
        }
        Ok(changes)
    }

    /// Adds a line of rsync's output: the itemized change, the size and the path.
    fn add(&mut self, line: &str) {
        let Some((change, rest)) = line.split_once(' ') else { return };
        let Some((size, path)) = rest.trim_start().split_once(' ') else { return };
        let mut flags = change.chars();
        match (flags.next(), flags.next(), flags.next()) {
            (Some('*'), ..) if change == "*deleting" => {
                let path = path.trim_start();
                if !path.ends_with('/') {
                    self.deleted.push(path.to_owned());
                }
            }
            (Some('<'), Some('f'), flag) => {
                let is_new = flag == Some('+');
                self.new += usize::from(is_new);
                self.overwritten += usize::from(!is_new);
                self.bytes += size.parse::<u64>().unwrap_or(0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted() {
        let mut changes = Changes::default();
        for line in [
            "*deleting   0 base/5/16384",
            "*deleting   0 base/5/",
            "<f+++++++++ 8192 base/5/a b",
            "<fc.t...... 100 base/5/1259",
            "cd+++++++++ 4096 base/6/",
            ".d..t...... 4096 ./",
            "sending incremental file list",
        ] {
            changes.add(line);
        }
        assert_eq!((changes.new, changes.overwritten, changes.bytes), (1, 1, 8292));
        assert_eq!(changes.deleted, ["base/5/16384"]);
    }
}
