use std::collections::BTreeMap;

/// What a transfer would take from its target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// What would be deleted: names at the top (a directory's ends in a slash), and how many files each
    /// stands for.
    pub deleted: BTreeMap<String, usize>,
    /// Files with other content, by their paths.
    pub overwritten: Vec<String>,
}

impl Losses {
    /// The options that let a transfer only tell; they come before its own.
    pub const OPTIONS: [&'static str; 2] = ["--dry-run", "--out-format=%i %n"];

    /// Takes in a line of such a transfer: what would happen, and to which path.
    pub fn hear(&mut self, line: &str) {
        let Some((happens, path)) = line.split_once(' ') else { return };
        let path = path.trim_start();
        let mut flags = happens.chars();
        match (flags.next(), flags.next(), flags.next()) {
            (Some('*'), ..) if happens == "*deleting" => {
                let top = match path.split_once('/') {
                    Some((top, _)) => format!("{top}/"),
                    None => path.to_owned(),
                };
                *self.deleted.entry(top).or_default() += usize::from(!path.ends_with('/'));
            }
            (Some('<'), Some('f' | 'L'), Some('c')) => self.overwritten.push(path.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lost_counts() {
        let mut losses = Losses::default();
        for line in [
            "*deleting   dumps/a b.sql",
            "*deleting   dumps/old/",
            "*deleting   dumps/",
            "*deleting   server.key",
            "*deleting   empty/",
            "<f+++++++++ new.conf",
            "<fc.t...... conf.d/x.conf",
            "<f..t...... conf.d/same.conf",
            ".d..t...... ./",
            "cd+++++++++ more/",
            "<fcst...... pg_hba.conf",
            "sending incremental file list",
            "",
        ] {
            losses.hear(line);
        }
        let deleted: Vec<_> = losses.deleted.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(deleted, [("dumps/", 1), ("empty/", 0), ("server.key", 1)]);
        assert_eq!(losses.overwritten, ["conf.d/x.conf", "pg_hba.conf"]);
    }
}
