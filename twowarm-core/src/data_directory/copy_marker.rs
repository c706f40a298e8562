use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;

/// Stands in a data directory while a base copy into it is not finished.
pub const COPY_MARKER: &str = ".twowarm-copy";

const TOKEN: &str = "token ";
const TABLESPACE: &str = "tablespace ";

/// What that file holds: the system identifier in its first line, then the token and the
/// tablespaces, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyMarker {
    /// The cluster that is being copied.
    pub system_identifier: u64,
    /// Random digits from the primary, by which it sees that its rsync gets to this very directory.
    pub token: String,
    /// Directories that are this data directory's tablespaces. Its links to them go when a copy begins,
    /// and without them nobody could tell its own from another cluster's.
    pub tablespaces: Vec<PathBuf>,
}

impl CopyMarker {
    /// The file's text. A path with a line end in it is left out.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{TOKEN}{}\n", self.system_identifier, self.token);
        for path in self.tablespaces.iter().filter_map(|path| path.to_str()) {
            if !path.contains(char::is_control) {
                text.push_str(&format!("{TABLESPACE}{path}\n"));
            }
        }
        text
    }

    /// Reads the text. It is written whole; what can't be read belongs to no cluster that could be
    /// copied.
    pub fn parse(text: &str) -> CopyMarker {
        let first = text.lines().next().unwrap_or_default();
        CopyMarker {
            system_identifier: first.trim().parse().unwrap_or(0),
            token: text
                .lines()
                .find_map(|line| line.strip_prefix(TOKEN))
                .unwrap_or_default()
                .to_owned(),
            tablespaces: text
                .lines()
                .filter_map(|line| line.strip_prefix(TABLESPACE).map(PathBuf::from))
                .collect(),
        }
    }

    /// The one that stands in a data directory.
    pub fn read(pgdata: &Path) -> Result<Option<CopyMarker>, FileError> {
        let path = pgdata.join(COPY_MARKER);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(CopyMarker::parse(&String::from_utf8_lossy(&bytes)))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::of("read", &path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut marker = CopyMarker {
            system_identifier: 77,
            token: "0a".into(),
            tablespaces: vec!["/a b".into(), "/ä".into()],
        };
        assert_eq!(CopyMarker::parse(&marker.text()), marker);
        marker.tablespaces.push("/a\nb".into());
        assert_eq!(CopyMarker::parse(&marker.text()).tablespaces.len(), 2);
        assert_eq!(CopyMarker::parse("nonsense").system_identifier, 0);
    }
}
