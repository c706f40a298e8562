use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::file_error::{FileError, if_exists};

/// A file without a name, for a WAL file that cannot be stored in the archive. The kernel removes it when it is
/// closed, also by a kill.
#[derive(Debug)]
pub struct ScratchFile {
    file: File,
    directory: PathBuf,
}

/// Where the file system has no files without a name, it has this one for a moment. A base copy leaves out this prefix.
const NAME: &str = ".twowarm_fetching.scratch";

impl ScratchFile {
    /// Creates a file on the file system of this directory.
    ///
    /// # Errors
    /// If it can't be created.
    pub fn create_in(directory: &Path) -> Result<ScratchFile, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let unnamed = options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(directory);
        let file = match unnamed {
            Ok(file) => file,
            Err(_) => {
                let path = directory.join(NAME);
                let remove = || if_exists(fs::remove_file(&path));
                // A call that was killed may have left it.
                let mut create = || {
                    remove()?;
                    let file = options.create_new(true).open(&path)?;
                    remove()?;
                    io::Result::Ok(file)
                };
                create().map_err(FileError::of("create", &path))?
            }
        };
        Ok(ScratchFile { file, directory: directory.to_owned() })
    }

    /// The same open file once more.
    ///
    /// # Errors
    /// If the process has too many open files.
    pub fn reopen(&self) -> io::Result<ScratchFile> {
        Ok(ScratchFile { file: self.file.try_clone()?, directory: self.directory.clone() })
    }

    /// The file, to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The directory on whose file system it is, for messages.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn it_has_no_name_and_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = ScratchFile::create_in(dir.path()).unwrap();
        scratch.reopen().unwrap().file().write_all(b"content").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut text = String::new();
        scratch.file().rewind().unwrap();
        scratch.file().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert!(ScratchFile::create_in(&dir.path().join("missing")).is_err());
    }
}
