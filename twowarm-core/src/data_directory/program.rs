use std::path::{Path, PathBuf};

/// The program of a command that a server starts in its data directory, if it is named by a path from there on which
/// there is no file. The server's message for it is only "not found"; at a restore_command it stops.
///
/// Only the first word, apart from `exec`, is looked at: what follows may be an argument, or run in another directory.
pub(crate) fn missing_program(data_directory: &Path, command: &str) -> Option<PathBuf> {
    let mut words = command.split_whitespace().skip_while(|word| *word == "exec");
    let path = data_directory.join(words.next().filter(|word| word.starts_with("../"))?);
    path.try_exists().is_ok_and(|exists| !exists).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_relative_path_without_a_file_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let missing = |command: &str| missing_program(&data, command).is_some();
        assert!(missing("exec ../2warm/restore %f %p %r"));
        assert!(missing("../2warm/archive %p %f"));
        for other in
            ["", "cp /archive/%f %p", "test -f ../x || ../x %p", "cd /x && ../2warm/archive"]
        {
            assert!(!missing(other), "{other}");
        }
        std::fs::create_dir(dir.path().join("2warm")).unwrap();
        std::fs::write(dir.path().join("2warm/restore"), "").unwrap();
        assert!(!missing("exec ../2warm/restore %f %p %r"));
    }
}
