use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;

/// Relation files from this size on are divided among several runs of rsync.
const LARGE: u64 = 1024 * 1024;

/// A directory with less than this in such files is copied by one run: each run costs a login.
const WORTH_DIVIDING: u64 = 32 * 1024 * 1024;

/// The rules of a run contain one line per large file, and rsync compares each file with all of them.
const MOST_LARGE_FILES: usize = 2000;

/// A directory to be copied.
pub(super) struct Directory {
    /// The source. It exists on both nodes, except for `name`.
    pub from: PathBuf,
    /// The directory on the other node.
    pub to: PathBuf,
    /// The subdirectory that is copied; empty for the whole.
    pub name: String,
    /// What is copied: rules anchored at that subdirectory.
    pub rules: String,
    /// The same, anchored at `from`.
    pub outer_rules: String,
    /// Relative paths that are not copied, for the estimate of the size.
    pub left_out: Vec<PathBuf>,
}

impl Directory {
    /// The directory that is copied, on both nodes.
    pub(super) fn inner(&self) -> (PathBuf, PathBuf) {
        let inner = |outer: &Path| match self.name.as_str() {
            "" => outer.to_owned(),
            name => outer.join(name),
        };
        (inner(&self.from), inner(&self.to))
    }
}

/// One run of rsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub from: PathBuf,
    pub to: PathBuf,
    pub rules: String,
    /// Whether it deletes what the source does not have: the run with all files that no other run copies.
    pub deletes: bool,
    /// The size of its files.
    pub bytes: u64,
}

/// The runs that copy these directories, those with the most bytes first. The large files of each directory are divided
/// into `streams` parts of about equal size.
pub(super) fn jobs(directories: &[Directory], streams: usize) -> Result<Vec<Job>, FileError> {
    let mut jobs = Vec::new();
    for directory in directories {
        let files = Files::of(&directory.inner().0, &directory.left_out)?;
        jobs.extend(divide(directory, files, streams));
    }
    jobs.sort_by_key(|job| Reverse(job.bytes));
    Ok(jobs)
}

/// The files of a directory, without symbolic links.
#[derive(Default)]
struct Files {
    /// Relation files of at least [`LARGE`] bytes: relative path and size.
    large: Vec<(String, u64)>,
    total: u64,
}

impl Files {
    fn of(top: &Path, left_out: &[PathBuf]) -> Result<Files, FileError> {
        let mut files = Files::default();
        let mut directories = vec![PathBuf::new()];
        while let Some(relative) = directories.pop() {
            let directory = top.join(&relative);
            // A running server removes directories and files.
            let entries = match fs::read_dir(&directory) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(FileError::of("list", &directory))?,
            };
            for entry in entries.flatten() {
                let path = relative.join(entry.file_name());
                let Ok(found) = entry.metadata() else { continue };
                if left_out.contains(&path) {
                    continue;
                } else if found.is_dir() {
                    directories.push(path);
                } else if found.is_file() {
                    files.total += found.len();
                    if found.len() >= LARGE
                        && let Some(path) = relation_file(&path)
                    {
                        files.large.push((path, found.len()));
                    }
                }
            }
        }
        files.large.sort_by_key(|(_, bytes)| Reverse(*bytes));
        files.large.truncate(MOST_LARGE_FILES);
        Ok(files)
    }
}

/// The path as a pattern of rsync, if it is that of a relation's file: in a directory of a database, digits, and the
/// number of a segment.
fn relation_file(path: &Path) -> Option<String> {
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = path.to_str()?;
    let (database, name) = text.rsplit_once('/')?;
    let (relation, segment) = name.split_once('.').unwrap_or((name, "0"));
    let is_relation = are_digits(relation) && are_digits(segment);
    (is_relation && are_digits(database.rsplit('/').next()?)).then(|| text.to_owned())
}

/// Each file goes to the part that has the fewest bytes. The first part is the run with all other files.
fn divide(directory: &Directory, files: Files, streams: usize) -> Vec<Job> {
    let large: u64 = files.large.iter().map(|(_, bytes)| bytes).sum();
    let others = if large < WORTH_DIVIDING { 0 } else { streams.saturating_sub(1) };
    let mut parts: Vec<(u64, Vec<String>)> = vec![(files.total.saturating_sub(large), Vec::new())];
    parts.resize_with(others + 1, Default::default);
    for (path, bytes) in files.large {
        let smallest = parts.iter_mut().min_by_key(|part| part.0);
        let (sum, paths) = smallest.expect("there is at least the first part");
        *sum += bytes;
        paths.push(path);
    }
    let (bytes, _) = parts.remove(0);
    parts.retain(|(_, paths)| !paths.is_empty());
    let Directory { from, to, name, rules, outer_rules, .. } = directory;
    // Perishable: if the source drops a database meanwhile, its directory is deleted with these files in it.
    let elsewhere = parts.iter().flat_map(|(_, paths)| paths);
    let elsewhere: String = elsewhere.map(|path| format!("-p /{path}\n")).collect();
    let (inner_from, inner_to) = directory.inner();
    let all_others = Job {
        from: inner_from,
        to: inner_to,
        // rsync uses the first rule that matches.
        rules: elsewhere + rules,
        deletes: true,
        bytes,
    };
    let prefix = if name.is_empty() { String::new() } else { format!("{name}/") };
    let of_part = |(bytes, paths): (u64, Vec<String>)| {
        let files: String = paths.iter().map(|path| format!("+ /{prefix}{path}\n")).collect();
        Job {
            from: from.clone(),
            to: to.clone(),
            rules: format!("{outer_rules}{files}{}- *\n", directories_of(&prefix, &paths)),
            deletes: false,
            bytes,
        }
    };
    std::iter::once(all_others).chain(parts.into_iter().map(of_part)).collect()
}

/// Rules that include the directories of these files.
fn directories_of(prefix: &str, paths: &[String]) -> String {
    let mut directories: Vec<PathBuf> = Vec::new();
    for path in paths {
        let path = format!("{prefix}{path}");
        directories.extend(Path::new(&path).ancestors().skip(1).map(Path::to_owned));
    }
    directories.sort();
    directories.dedup();
    let named = directories.iter().filter(|directory| !directory.as_os_str().is_empty());
    named.map(|directory| format!("+ /{}/\n", directory.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn directory(name: &str) -> Directory {
        Directory {
            from: "/from".into(),
            to: "/to".into(),
            name: name.into(),
            rules: "- /x\n".into(),
            outer_rules: "- /PG/x\n".into(),
            left_out: Vec::new(),
        }
    }

    fn files(sizes: &[u64]) -> Files {
        let large: Vec<_> = sizes.iter().zip(1..).map(|(s, n)| (format!("5/{n}"), *s)).collect();
        Files { total: sizes.iter().sum::<u64>() + MIB, large }
    }

    #[test]
    fn large_files_are_divided_into_parts_of_similar_size() {
        let sizes = [100 * MIB, 60 * MIB, 50 * MIB, 2 * MIB];
        let jobs = divide(&directory(""), files(&sizes), 2);
        assert_eq!(jobs.len(), 2);
        assert!(jobs[0].deletes && !jobs[1].deletes);
        assert_eq!((jobs[0].bytes, jobs[1].bytes), (111 * MIB, 102 * MIB));
        // Each file is copied by one of them.
        assert_eq!(jobs[0].rules, "-p /5/1\n-p /5/4\n- /x\n");
        assert_eq!(jobs[1].rules, "- /PG/x\n+ /5/1\n+ /5/4\n+ /5/\n- *\n");
    }

    #[test]
    fn a_small_directory_and_one_stream_are_one_run() {
        for (sizes, streams) in [(&[2 * MIB, 3 * MIB][..], 4), (&[900 * MIB, 900 * MIB], 1)] {
            let jobs = divide(&directory(""), files(sizes), streams);
            assert_eq!(jobs.len(), 1);
            assert_eq!(jobs[0].rules, "- /x\n");
        }
    }

    #[test]
    fn a_part_of_a_tablespace_is_copied_from_the_directory_that_exists_on_both_nodes() {
        let jobs = divide(&directory("PG"), files(&[50 * MIB, 50 * MIB]), 2);
        assert_eq!(
            (jobs[0].from.as_path(), jobs[1].from.as_path()),
            ("/from/PG".as_ref(), "/from".as_ref())
        );
        assert_eq!(jobs[1].rules, "- /PG/x\n+ /PG/5/1\n+ /PG/\n+ /PG/5/\n- *\n");
    }

    #[test]
    fn only_files_of_relations_are_divided() {
        for path in ["base/5/16384", "base/5/16384.12", "5/1259"] {
            assert_eq!(relation_file(Path::new(path)), Some(path.into()));
        }
        for path in ["16384", "base/5/16384_fsm", "base/5/t3_16384", "pg_xact/0000x", "base/x/1"] {
            assert_eq!(relation_file(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn files_are_found_and_measured() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["base/5", "archive/5"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for (path, bytes) in [("base/5/1", MIB), ("base/5/2", 7), ("archive/5/3", MIB)] {
            fs::write(dir.path().join(path), vec![0; bytes as usize]).unwrap();
        }
        let files = Files::of(dir.path(), &["archive".into()]).unwrap();
        assert_eq!((files.total, files.large), (MIB + 7, vec![("base/5/1".into(), MIB)]));
    }
}
