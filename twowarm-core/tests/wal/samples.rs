//! Files that real servers wrote, under `tests/data`, one folder per version.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Sample {
    pub name: String,
    folder: PathBuf,
}

/// One for each version, a second one for 18 with segments of 1 MB, and one of a beta of 19.
pub fn all() -> Vec<Sample> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut samples: Vec<Sample> =
        names(&data).into_iter().map(|name| Sample { folder: data.join(&name), name }).collect();
    assert!(samples.len() >= 16);
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

pub fn one(name: &str) -> Sample {
    all().into_iter().find(|sample| sample.name == name).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Sample {
    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder.join(file)).unwrap()
    }

    /// Names and contents of the files with this suffix.
    pub fn ending_in(&self, suffix: &str) -> Vec<(String, Vec<u8>)> {
        let mut names = names(&self.folder);
        names.retain(|name| name.ends_with(suffix));
        names.into_iter().map(|name| (name.clone(), self.read(&name))).collect()
    }

    /// Names of the segments (and `.partial` files) in this folder.
    pub fn segments(&self, folder: &str) -> Vec<String> {
        let files = names(&self.folder.join(folder));
        files.iter().map(|file| file.strip_suffix(".zst").unwrap().to_owned()).collect()
    }

    pub fn segment(&self, folder: &str, name: &str) -> Vec<u8> {
        let packed = self.read(&format!("{folder}/{name}.zst"));
        zstd::decode_all(&packed[..]).unwrap()
    }
}
