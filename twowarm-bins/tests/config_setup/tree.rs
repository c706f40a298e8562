use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const SHELLS: [&str; 2] = ["bash", "dash"];

/// A 2warm tree with configSetup, configFacts and the scripts of a test.
pub struct Tree {
    pub dir: tempfile::TempDir,
    pub pgroot: PathBuf,
}

impl Tree {
    pub fn new() -> Tree {
        Tree::named("pgroot")
    }

    pub fn named(name: &str) -> Tree {
        let dir = tempfile::tempdir().unwrap();
        // If the temporary directory is a link, a shell prints other paths.
        let pgroot = dir.path().canonicalize().unwrap().join(name);
        let tree = Tree { dir, pgroot };
        for directory in [tree.replication(), tree.local().join("replication"), tree.pgdata()] {
            fs::create_dir_all(directory).unwrap();
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        symlink(scripts.join("configSetup"), tree.replication().join("configSetup")).unwrap();
        symlink(env!("CARGO_BIN_EXE_configFacts"), tree.facts()).unwrap();
        fs::write(tree.local().join("environment.sh"), "PGDATA=$PGROOT/data\n").unwrap();
        fs::write(tree.local().join("replication/othernode"), "db2\n").unwrap();
        tree
    }

    pub fn replication(&self) -> PathBuf {
        self.pgroot.join("2warm/global/replication")
    }

    pub fn local(&self) -> PathBuf {
        self.pgroot.join("2warm/local")
    }

    pub fn pgdata(&self) -> PathBuf {
        self.pgroot.join("data")
    }

    /// configFacts, the program that configSetup runs.
    pub fn facts(&self) -> PathBuf {
        self.replication().join("configFacts")
    }

    /// Creates a script that sources configSetup as those of 2warm do and then runs these lines.
    pub fn script(&self, shell: &str, name: &str, lines: &str) -> PathBuf {
        let path = self.replication().join(name);
        let source = ". \"$(dirname -- \"$0\")/configSetup\"";
        write_program(&path, &format!("#!/usr/bin/env {shell}\n{source}\n{lines}\n"));
        path
    }

    /// Runs the lines after configSetup has been sourced.
    pub fn run(&self, shell: &str, lines: &str) -> Output {
        run(&mut self.command(self.script(shell, "ours", lines)))
    }

    /// Runs the lines, which must print this.
    pub fn prints(&self, shell: &str, lines: &str, expected: &str) {
        let output = self.run(shell, lines);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{shell}: {output:?}");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }

    /// A command without the caller's environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // So that no server is found by accident.
        command.env("PGHOST", self.dir.path()).current_dir(self.dir.path());
        command
    }
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

pub fn write_program(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    // In a separate process. If this process wrote the file, a child started by another test at that moment would
    // inherit it, and a file that is open for writing can't be executed.
    let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let status = Command::new("sh").args(["-c", write]).arg(path).arg(text).status();
    assert!(status.unwrap().success());
}
