use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::port::free_port;
use super::{BedError, RunAs, SshKey, processes, tool, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

/// A real sshd on the loopback address. It accepts only the servers' user, and only by public key.
#[derive(Debug)]
pub struct Sshd {
    dir: PathBuf,
    home: PathBuf,
    run_as: RunAs,
    host_key: SshKey,
    port: u16,
    listener: Option<Child>,
}

impl Sshd {
    /// Starts an sshd with its files in `dir`, which is created here, and with `home` as HOME of its sessions.
    pub(super) fn start(run_as: &RunAs, dir: &Path, home: &Path) -> Result<Sshd, BedError> {
        run_as.make_dir(dir, 0o700)?;
        let host_key = SshKey::generate(run_as, &dir.join("host_key"))?;
        let (dir, home, run_as) = (dir.to_owned(), home.to_owned(), run_as.clone());
        let mut sshd = Sshd { dir, home, run_as, host_key, port: 0, listener: None };
        sshd.run_as.write(&sshd.authorized_keys(), "")?;
        sshd.run_as.write(&sshd.log_file(), "")?;
        // Another process may take the port before sshd binds it.
        let mut tries = 5;
        loop {
            sshd.port = free_port()?;
            match sshd.restart() {
                Ok(()) => return Ok(sshd),
                Err(_) if tries > 0 && sshd.log().contains("in use") => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the sshd that listens; 0 while it is stopped. Its sessions are its children.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.listener.as_ref().map_or(0, |listener| listener.id() as i32)
    }

    /// The line of a known_hosts file for this sshd, reached through this port.
    pub(super) fn known_hosts_line(&self, port: u16) -> String {
        format!("[127.0.0.1]:{port} {}\n", self.host_key.public())
    }

    /// Accepts a key from now on; with `forced`, only to run that command. Replaces an earlier entry for the same key.
    pub fn authorize(&self, key: &SshKey, forced: Option<&str>) -> Result<(), BedError> {
        let mut lines = self.lines_without(key)?;
        if let Some(command) = forced {
            let quoted = command.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(lines, "restrict,command=\"{quoted}\" ");
        }
        lines += key.public();
        lines.push('\n');
        self.run_as.write(&self.authorized_keys(), lines)
    }

    /// Rejects a key from now on.
    pub fn refuse(&self, key: &SshKey) -> Result<(), BedError> {
        self.run_as.write(&self.authorized_keys(), self.lines_without(key)?)
    }

    fn lines_without(&self, key: &SshKey) -> Result<String, BedError> {
        let file = self.authorized_keys();
        let text = fs::read_to_string(&file).map_err(BedError::io("read", &file))?;
        Ok(text.split_inclusive('\n').filter(|line| !line.contains(key.public())).collect())
    }

    /// Kills sshd, its sessions and their processes, as if the node were down.
    pub fn stop(&mut self) {
        self.signal_all(Signal::SIGKILL);
        if let Some(mut listener) = self.listener.take() {
            let _ = listener.wait();
        }
    }

    /// Starts sshd again after [`Sshd::stop`], on the same port with the same keys.
    pub fn restart(&mut self) -> Result<(), BedError> {
        self.stop();
        self.run_as.write(&self.dir.join("sshd_config"), self.config())?;
        let mut command = Command::new(tool::find("sshd", "openssh-server")?);
        command.args(["-D", "-f"]).arg(self.dir.join("sshd_config"));
        command.arg("-E").arg(self.log_file()).current_dir(&self.dir).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.append_to_log()?);
        self.run_as.apply(&mut command);
        let listener = command.spawn();
        self.listener = Some(listener.map_err(BedError::io("run", Path::new("sshd")))?);
        let port = self.port;
        let ready = wait_until(&format!("sshd to answer on port {port}"), LIMIT, || {
            greets(port).then_some(Ok(())).or_else(|| self.ended().map(Err))
        });
        ready.and_then(|answer| answer).map_err(|error| {
            self.stop();
            BedError(format!("{error}\nsshd's log:\n{}", self.log()))
        })
    }

    /// Stops sshd and its sessions with SIGSTOP until [`Sshd::thaw`], as if the node hung.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets sshd and its sessions continue.
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// The log of sshd.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn ended(&mut self) -> Option<BedError> {
        let status = self.listener.as_mut()?.try_wait().ok()??;
        Some(BedError(format!("sshd did not start ({status})")))
    }

    fn signal_all(&self, signal: Signal) {
        if let Some(listener) = &self.listener {
            let tree = processes::tree_of(listener.id() as i32);
            tree.iter().for_each(|process| process.signal(signal));
        }
    }

    fn authorized_keys(&self) -> PathBuf {
        self.dir.join("authorized_keys")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn append_to_log(&self) -> Result<Stdio, BedError> {
        let file = self.log_file();
        let open = OpenOptions::new().append(true).open(&file);
        open.map(Stdio::from).map_err(BedError::io("open", &file))
    }

    /// Strict modes are off because the testbed is under /tmp, which is world-writable. PAM would need root.
    fn config(&self) -> String {
        let (dir, home) = (self.dir.display(), self.home.display());
        format!(
            "Port {}\n\
             ListenAddress 127.0.0.1\n\
             HostKey {dir}/host_key\n\
             PidFile {dir}/pid\n\
             AuthorizedKeysFile {dir}/authorized_keys\n\
             AllowUsers {}\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             UsePAM no\n\
             StrictModes no\n\
             PermitUserRC no\n\
             UseDNS no\n\
             MaxStartups 1000\n\
             MaxSessions 100\n\
             LogLevel VERBOSE\n\
             SetEnv HOME={home}\n",
            self.port,
            self.run_as.user(),
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether an ssh server answers on this port.
fn greets(port: u16) -> bool {
    let greeting = || -> io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut start = [0; 4];
        stream.read_exact(&mut start)?;
        // With a reply, sshd does not take this for an attack.
        stream.write_all(b"SSH-2.0-testbed\r\n")?;
        Ok(&start == b"SSH-")
    };
    greeting().unwrap_or(false)
}
