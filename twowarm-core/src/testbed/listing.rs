use std::fs;
use std::path::Path;

/// The names of the files in a directory, sorted.
///
/// # Panics
/// If the directory can't be read.
#[must_use]
#[track_caller]
pub fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("could not read {}: {error}", directory.display()));
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.flatten().map(name).collect();
    names.sort();
    names
}
