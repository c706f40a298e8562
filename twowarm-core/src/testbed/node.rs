use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{
    BedError, FaultProxy, PgInstall, Process, RunAs, SshKey, Sshd, Testbed, processes, tool,
};

/// The commands in a node's `2warm/global/replication`.
pub const COMMANDS: [&str; 16] = [
    "archiveWALFile",
    "configFacts",
    "configSetup",
    "configStandby",
    "copyToDR",
    "copyToStandby",
    "distrib2warm",
    "flushPrimary",
    "receiveBaseCopy",
    "receiveWALFile",
    "restoreWALFile",
    "rsyncDR",
    "sendWALFile",
    "switchover",
    "triggerStandby",
    "verifyArchive",
];

/// A node: a home directory with keys, PGROOT with the 2warm tree and the data directory, and, once started, an sshd
/// and a server. Dropping it stops both.
#[derive(Debug)]
pub struct Node {
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// The port in the name of the server's socket; the server does not listen on TCP. It differs between nodes, so
    /// that a connection to the wrong one fails.
    pub(super) port: u16,
    key: SshKey,
    copy_key: SshKey,
    pub(super) server: RefCell<Option<Child>>,
    sshd: Option<Sshd>,
    /// Last, because dropping the last handle removes the directory.
    pub(super) bed: Testbed,
}

impl Node {
    pub(super) fn new(bed: Testbed, name: &str, number: u16) -> Result<Node, BedError> {
        let run_as = bed.run_as().clone();
        let home = bed.dir().join(name);
        run_as.make_dir(&home, 0o755)?;
        run_as.make_dir(&home.join(".ssh"), 0o700)?;
        run_as.make_dir(&home.join("socket"), 0o755)?;
        // The servers' user must be able to write to it too.
        run_as.write(&home.join("server.log"), "")?;
        let key = SshKey::generate(&run_as, &home.join(".ssh/ship"))?;
        let copy_key = SshKey::generate(&run_as, &home.join(".ssh/copy"))?;
        let port = 5501 + number;
        let (name, server, sshd) = (name.to_owned(), RefCell::new(None), None);
        let node = Node { name, home, port, key, copy_key, server, sshd, bed };
        node.make_tree()?;
        Ok(node)
    }

    /// The testbed that the node is in.
    pub fn testbed(&self) -> &Testbed {
        &self.bed
    }

    /// The node's name, as in `othernode`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// HOME of the node's processes.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// PGROOT: the parent of `2warm` and of the data directory.
    pub fn pgroot(&self) -> PathBuf {
        self.home.join("pgroot")
    }

    /// The data directory. [`Node::initdb`] or a base copy creates it.
    pub fn pgdata(&self) -> PathBuf {
        self.pgroot().join("data")
    }

    /// The default archive directory, `$PGDATA/archive`. The test creates it.
    pub fn archive(&self) -> PathBuf {
        self.pgdata().join("archive")
    }

    /// `2warm/global`.
    pub fn global(&self) -> PathBuf {
        self.pgroot().join("2warm/global")
    }

    /// `2warm/local`.
    pub fn local(&self) -> PathBuf {
        self.pgroot().join("2warm/local")
    }

    /// The key that ships WAL.
    pub fn key(&self) -> &SshKey {
        &self.key
    }

    /// The key that may copy the data directory.
    pub fn copy_key(&self) -> &SshKey {
        &self.copy_key
    }

    /// The file with the host keys of the nodes that [`Node::reach`] was called for.
    pub fn known_hosts(&self) -> PathBuf {
        self.home.join(".ssh/known_hosts")
    }

    /// The operating system user of the node's server and commands.
    pub fn run_as(&self) -> &RunAs {
        self.bed.run_as()
    }

    /// The server binaries that the node uses.
    pub fn install(&self) -> &PgInstall {
        self.bed.install()
    }

    /// Starts the node's sshd. After that, other nodes can [`Node::reach`] this one.
    pub fn start_sshd(&mut self) -> Result<&mut Sshd, BedError> {
        let sshd = Sshd::start(self.bed.run_as(), &self.home.join("sshd"), &self.home)?;
        Ok(self.sshd.insert(sshd))
    }

    /// The node's sshd.
    ///
    /// # Panics
    /// If [`Node::start_sshd`] was not called.
    pub fn sshd(&mut self) -> &mut Sshd {
        self.sshd.as_mut().expect("the test starts the node's sshd before it asks for it")
    }

    pub(super) fn running_sshd(&self) -> Result<&Sshd, BedError> {
        let missing = || BedError(format!("node {} has no sshd: call start_sshd", self.name));
        self.sshd.as_ref().ok_or_else(missing)
    }

    /// One of our commands on this node, called as a server would: in the data directory by
    /// `../2warm/global/replication/NAME`, or, without a data directory, in HOME by its full path.
    pub fn command(&self, name: &str) -> Command {
        let pgdata = self.pgdata();
        if pgdata.is_dir() {
            let mut command = self.program(Path::new("../2warm/global/replication").join(name));
            command.current_dir(pgdata);
            command
        } else {
            self.program(self.global().join("replication").join(name))
        }
    }

    /// A program on this node: as the servers' user, in HOME, with only PATH, HOME and LANG in its environment, and
    /// with an empty standard input.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home).env("LANG", "C").current_dir(&self.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null());
        self.bed.run_as().apply(&mut command);
        command
    }

    /// The ssh client, set to log in to another node with this node's shipping key. The caller adds the remote command.
    /// The ssh configuration of the machine is not used.
    pub fn ssh(&self, other: &Node) -> Result<Command, BedError> {
        self.ssh_at(other, other.running_sshd()?.port())
    }

    /// As [`Node::ssh`], through a proxy to the other node's sshd. [`Node::reach_through`] adds the host key.
    pub fn ssh_through(&self, other: &Node, proxy: &FaultProxy) -> Result<Command, BedError> {
        self.ssh_at(other, proxy.port())
    }

    fn ssh_at(&self, other: &Node, port: u16) -> Result<Command, BedError> {
        let mut command = self.program(tool::find("ssh", "openssh-client")?);
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        command.arg(self.key.private()).arg("-o");
        command.arg(format!("UserKnownHostsFile={}", self.known_hosts().display()));
        command.args(["-p", &port.to_string(), "-l"]);
        command.args([other.run_as().user(), "127.0.0.1"]);
        Ok(command)
    }

    /// Whether restoreWALFile has looked for a segment after this one and waits. The call that restored this one
    /// may still be pruning.
    pub fn waits_after(&self, segment: &str) -> bool {
        self.processes().any(|process| {
            let mut words = process.command.split(' ');
            words.next().is_some_and(|word| word.ends_with("/restoreWALFile"))
                && words.next().is_some_and(|asked| asked.len() == 24 && asked > segment)
                && processes::watches(processes::worker_of(process.pid))
        })
    }

    /// Whether one of our commands runs on this node, such as the `restoreWALFile` that a standby waits in.
    pub fn runs(&self, name: &str) -> bool {
        // A script's name comes second, after its interpreter's.
        self.runs_by(name, 2)
    }

    /// Whether a program runs on this node; a script is not one.
    pub fn runs_program(&self, name: &str) -> bool {
        self.runs_by(name, 1)
    }

    fn runs_by(&self, name: &str, words: usize) -> bool {
        let named = |word: &str| word.rsplit('/').next() == Some(name);
        self.processes().any(|process| process.command.split(' ').take(words).any(named))
    }

    /// The processes whose working directory is in the node's home.
    pub fn processes(&self) -> impl Iterator<Item = Process> {
        let here =
            |cwd: &Option<PathBuf>| cwd.as_ref().is_some_and(|cwd| cwd.starts_with(&self.home));
        self.bed.processes().into_iter().filter(move |process| here(&process.cwd))
    }
}
