use std::collections::BTreeMap;

/// What a transfer would delete or overwrite in its target, as found by a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Top-level names that would be deleted, and the number of files below each. The name of a directory
    /// ends in a slash.
    pub deleted: BTreeMap<String, usize>,
    /// Paths that would be overwritten: files with different content, symbolic links with a different
    /// target, and what would be replaced by a file of another type.
    pub overwritten: Vec<String>,
}

impl Losses {
    /// The options of a dry run; they precede those of the transfer. With `--existing` rsync leaves out
    /// what is new: otherwise a symbolic link that is replaced by a file looks like a new file.
    pub const OPTIONS: [&'static str; 3] = ["--dry-run", "--existing", "--out-format=%i %n"];

    /// Adds a line of the dry run's output: rsync's itemized change, and the path.
    pub fn add(&mut self, line: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_losses_are_reported() {
        let mut losses = Losses::default();
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
        let deleted: Vec<_> = losses.deleted.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(deleted, [("dumps/", 1), ("empty/", 0), ("server.key", 1)]);
        let overwritten =
            ["conf.d/x.conf", "pg_hba.conf", "a-link-before.conf", "link", "a-file-before"];
        assert_eq!(losses.overwritten, overwritten);
    }
}
