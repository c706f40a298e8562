use std::fs;
use std::path::{Path, PathBuf};

use super::store::link_command;
use super::{BedError, FaultProxy, Node};

/// Where the repository keeps the commands that are shell scripts: these are not built.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");

/// The node's 2warm tree and configuration.
impl Node {
    pub(super) fn make_tree(&self) -> Result<(), BedError> {
        let run_as = self.run_as();
        run_as.make_dir(&self.pgroot(), 0o755)?;
        for dir in ["", "global", "global/replication", "local", "local/replication"] {
            run_as.make_dir(&self.pgroot().join("2warm").join(dir), 0o755)?;
        }
        run_as.write(&self.known_hosts(), "")?;
        self.write_local("environment.sh", format!("export PGDATA={}\n", self.pgdata().display()))?;
        self.write_local("replication/othernode", "")?;
        self.write_local("replication/drnode", "")?;
        let bindir = self.bed.install().bindir().display();
        self.write_local("2warm.toml", format!("[server]\nbindir = \"{bindir}\"\n"))
    }

    /// Puts commands into `global/replication`. `built` is the directory where cargo built them, or one of the
    /// programs in it. They are copied once for all nodes, because the servers' user may be unable to enter that
    /// directory, and linked: a test may replace them, but not write into them.
    pub fn install_commands(
        &self,
        built: impl AsRef<Path>,
        names: &[&str],
    ) -> Result<(), BedError> {
        let built = built.as_ref();
        let built = if built.is_dir() { built } else { built.parent().unwrap_or(built) };
        let to = self.global().join("replication");
        names.iter().try_for_each(|name| {
            let from = if *name == "configSetup" { Path::new(SCRIPTS) } else { built };
            link_command(self.run_as(), &from.join(name), &to.join(name)).map_err(|error| {
                BedError(format!("{error} (cargo build makes it; see install_commands)"))
            })
        })
    }

    /// Writes a file under `2warm/local`.
    pub fn write_local(&self, name: &str, text: impl AsRef<[u8]>) -> Result<(), BedError> {
        self.run_as().write(&self.local().join(name), text)
    }

    /// Adds lines at the beginning of `2warm.toml`, where keys outside of tables must be, such as `time_limit = 2`.
    pub fn prepend_settings(&self, lines: &str) -> Result<(), BedError> {
        self.write_local("2warm.toml", format!("{lines}\n{}", self.settings()?))
    }

    /// Adds lines at the end of `2warm.toml`: keys for the last node that was reached, or new tables.
    pub fn append_settings(&self, lines: &str) -> Result<(), BedError> {
        self.write_local("2warm.toml", format!("{}{lines}\n", self.settings()?))
    }

    fn settings(&self) -> Result<String, BedError> {
        let file: PathBuf = self.local().join("2warm.toml");
        fs::read_to_string(&file).map_err(BedError::io("read", &file))
    }

    /// Makes another node this one's `othernode`: adds it to `2warm.toml` and known_hosts, and this node's keys to its
    /// authorized_keys.
    pub fn reach(&self, other: &Node) -> Result<(), BedError> {
        self.reach_at(other, other.running_sshd()?.port())
    }

    /// As [`Node::reach`], through a proxy to the other node's sshd. If this node reached the other one before, its
    /// table in `2warm.toml` is replaced.
    pub fn reach_through(&self, other: &Node, proxy: &FaultProxy) -> Result<(), BedError> {
        let header = format!("[node.{}]\n", other.name);
        let settings = self.settings()?;
        let mut lines = settings.split_inclusive('\n').peekable();
        let mut kept = String::new();
        while let Some(line) = lines.next() {
            if line == header {
                while lines.next_if(|line| !line.starts_with('[')).is_some() {}
            } else {
                kept += line;
            }
        }
        self.write_local("2warm.toml", kept)?;
        self.reach_at(other, proxy.port())
    }

    fn reach_at(&self, other: &Node, port: u16) -> Result<(), BedError> {
        let sshd = other.running_sshd()?;
        sshd.authorize(self.key(), None)?;
        sshd.authorize(self.copy_key(), None)?;
        let known = fs::read_to_string(self.known_hosts()).unwrap_or_default();
        self.run_as().write(&self.known_hosts(), known + &sshd.known_hosts_line(port))?;
        self.append_settings(&format!(
            "[node.{}]\n\
             host = \"127.0.0.1\"\n\
             port = {port}\n\
             user = \"{}\"\n\
             key = \"{}\"\n\
             copy_key = \"{}\"\n\
             known_hosts = \"{}\"\n\
             pgroot = \"{}\"",
            other.name,
            other.run_as().user(),
            self.key().private().display(),
            self.copy_key().private().display(),
            self.known_hosts().display(),
            other.pgroot().display(),
        ))?;
        self.write_local("replication/othernode", format!("{}\n", other.name))
    }
}
