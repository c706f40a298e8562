use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Tablespace;
use crate::data_directory::map_lines as lines;

/// Why tablespaces can't be copied to the paths that they are mapped to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The path on the other node is not absolute.
    #[error("tablespace \"{}\" is mapped to \"{}\", which is not an absolute path", from.display(), to.display())]
    Relative {
        /// The directory on this node.
        from: PathBuf,
        /// The path that it is mapped to.
        to: PathBuf,
    },
    /// Two tablespaces have the same path on the other node.
    #[error("tablespaces \"{}\" and \"{}\" are both mapped to \"{}\"", one.display(), other.display(), to.display())]
    Same {
        /// A directory on this node.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
        /// The path that both are mapped to.
        to: PathBuf,
    },
    /// The path can't be a line of `tablespace_map` and a field of the protocol.
    #[error("tablespace path \"{}\" is not UTF-8 or contains control characters", .0.display())]
    Path(PathBuf),
}

/// The path of each tablespace on the other node: as mapped, otherwise the same path.
pub(super) fn map_tablespaces(
    links: &[(u32, PathBuf)],
    mapping: &BTreeMap<PathBuf, PathBuf>,
) -> Result<Vec<Tablespace>, MappingError> {
    let mut targets: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    links
        .iter()
        .map(|(oid, from)| {
            let to = mapping.get(from).unwrap_or(from).clone();
            if !to.is_absolute() {
                return Err(MappingError::Relative { from: from.clone(), to });
            }
            let plain =
                |path: &Path| path.to_str().is_some_and(|p| !p.chars().any(char::is_control));
            if let Some(path) = [from, &to].into_iter().find(|path| !plain(path)) {
                return Err(MappingError::Path(path.clone()));
            }
            if let Some(one) = targets.insert(to.clone(), from.clone()) {
                return Err(MappingError::Same { one, other: from.clone(), to });
            }
            Ok(Tablespace { oid: *oid, from: from.clone(), to })
        })
        .collect()
}

/// The `tablespace_map` of the copy, from which its server creates the links: lines of tablespaces with
/// another path are rewritten, all others are unchanged.
pub(super) fn rewrite_map(map: &[u8], tablespaces: &[Tablespace]) -> Vec<u8> {
    let mut rewritten = Vec::with_capacity(map.len());
    for line in lines(map) {
        match mapped(line, tablespaces) {
            Some((oid, to)) => {
                rewritten.extend(oid);
                rewritten.push(b' ');
                rewritten.extend(escaped(to));
                rewritten.push(b'\n');
            }
            None => rewritten.extend(line),
        }
    }
    rewritten
}

/// If the line is that of a tablespace with another path: its OID as written, and the new path.
fn mapped<'a>(line: &'a [u8], tablespaces: &'a [Tablespace]) -> Option<(&'a [u8], &'a Path)> {
    let space = line.iter().position(|&b| b == b' ')?;
    let oid = &line[..space];
    let number: u32 = std::str::from_utf8(oid).ok()?.parse().ok()?;
    let tablespace = tablespaces.iter().find(|t| t.oid == number && t.from != t.to)?;
    Some((oid, &tablespace.to))
}

/// A path with line breaks and backslashes escaped, as the server reads it.
fn escaped(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut text = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\n' | b'\r' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_directory::paths_in_map;

    fn links() -> Vec<(u32, PathBuf)> {
        vec![(16384, "/ts/a".into()), (16385, "/ts/b b".into())]
    }

    #[test]
    fn a_tablespace_that_is_not_mapped_keeps_its_path() {
        let mapping = BTreeMap::from([("/ts/a".into(), "/other/a\\1".into())]);
        let mapped = map_tablespaces(&links(), &mapping).unwrap();
        assert_eq!(mapped[0].to, Path::new("/other/a\\1"));
        assert_eq!(mapped[1].to, Path::new("/ts/b b"));
        let map = b"16384 /ts/a\n16385 /ts/b b\n99 /odd\\\n16384 /ts/a\n";
        let expected = b"16384 /other/a\\\\1\n16385 /ts/b b\n99 /odd\\\n16384 /ts/a\n";
        assert_eq!(rewrite_map(map, &mapped), expected);
        let paths = paths_in_map(expected);
        let expected = ["/other/a\\1", "/ts/b b", "/odd\n16384 /ts/a"];
        assert_eq!(paths, expected.map(PathBuf::from));
    }

    #[test]
    fn without_a_mapping_the_map_is_unchanged() {
        let mapped = map_tablespaces(&links(), &BTreeMap::new()).unwrap();
        for map in [&b"16384 /ts/a\n"[..], b"", b"garbage", b"16384 /ts/\\\n\\\\a\nx"] {
            assert_eq!(rewrite_map(map, &mapped), map);
        }
    }

    #[test]
    fn equal_relative_and_unprintable_paths_are_refused() {
        let to = |a: &str, b: &str| {
            let pairs = [("/ts/a".into(), a.into()), ("/ts/b b".into(), b.into())];
            map_tablespaces(&links(), &BTreeMap::from(pairs))
        };
        assert!(matches!(to("/x", "/x"), Err(MappingError::Same { .. })));
        assert!(matches!(to("x", "/x"), Err(MappingError::Relative { .. })));
        assert!(matches!(to("/x\n", "/x"), Err(MappingError::Path(_))));
    }
}
