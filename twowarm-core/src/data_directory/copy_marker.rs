use std::fs;
use std::path::{Path, PathBuf};

use crate::file_error::{FileError, if_exists};

/// The name of the file that marks a data directory while a base copy into it is unfinished.
pub const COPY_MARKER: &str = ".twowarm-copy";

const TOKEN: &str = "token ";
const TABLESPACE: &str = "tablespace ";

/// The content of that file: the system identifier in the first line, then the token and the tablespaces, one
/// per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyMarker {
    /// The cluster that is being copied.
    pub system_identifier: u64,
    /// Random digits from the primary, which checks by them that its rsync writes to this very directory.
    pub token: String,
    /// The directories of this data directory's tablespaces. The links to them are removed when a copy begins,
    /// and then only this list tells them from another cluster's.
    pub tablespaces: Vec<PathBuf>,
}

impl CopyMarker {
    /// The file's text. A path with a control character is left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{TOKEN}{}\n", self.system_identifier, self.token);
        for path in self.tablespaces.iter().filter_map(|path| path.to_str()) {
            if !path.contains(char::is_control) {
                text.push_str(&format!("{TABLESPACE}{path}\n"));
            }
        }
        text
    }

    /// Parses the text. The file is written atomically; invalid text is read as that of cluster 0, which no
    /// cluster is.
    #[must_use]
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

    /// Reads the one in a data directory; `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(pgdata: &Path) -> Result<Option<CopyMarker>, FileError> {
        let path = pgdata.join(COPY_MARKER);
        let bytes = if_exists(fs::read(&path)).map_err(FileError::of("read", &path))?;
        Ok(bytes.map(|bytes| CopyMarker::parse(&String::from_utf8_lossy(&bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_text_is_read_back() {
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
