use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, Config, NoTls, SimpleQueryMessage, error::SqlState};

use super::store::new_cluster;
use super::{BedError, Node, finish, wait_until};
use crate::version::PgMajor;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The path of a socket is limited to 107 bytes on Linux; `/.s.PGSQL.55001` is added to the directory.
const SOCKET_DIR_MAX: usize = 107 - 15;

/// pg_ctl's shutdown modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects clients and writes a shutdown checkpoint.
    Fast,
    /// Stops without a checkpoint, as in a crash.
    Immediate,
}

impl StopMode {
    fn name(self) -> &'static str {
        match self {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        }
    }
}

/// The node's PostgreSQL server.
impl Node {
    /// Creates a cluster with [`Node::own_conf`] and [`Node::small_conf`]. `extra` are arguments for initdb
    /// (`--wal-segsize=1`, `--data-checksums`).
    ///
    /// The first cluster of a testbed is a copy of one that the process has created before, as that takes less time.
    /// Those after it have system identifiers of their own.
    pub fn initdb(&self, extra: &[&str]) -> Result<(), BedError> {
        let has_path = extra.iter().any(|argument| argument.contains('/'));
        match self.bed.is_first_cluster() && !has_path {
            true => new_cluster(self, &extra.join(" "), || self.run_initdb(extra))?,
            false => self.run_initdb(extra)?,
        }
        self.append_conf(&(self.own_conf()? + &self.small_conf()?))
    }

    fn run_initdb(&self, extra: &[&str]) -> Result<(), BedError> {
        let initdb = self.bed.install().program("initdb");
        let help = finish(self.program(&initdb).arg("--help"))?;
        let mut command = self.program(&initdb);
        command.arg("-D").arg(self.pgdata()).args(["-A", "trust", "-E", "UTF8", "--no-locale"]);
        command.args(["-U", self.run_as().user()]).args(extra);
        // Saves a second for each cluster; new in 9.3.
        command.args(["--no-sync", "--nosync"].iter().find(|option| help.contains(**option)));
        finish(&mut command).map(drop)
    }

    /// Settings for a server that uses little memory and does not fsync.
    pub fn small_conf(&self) -> Result<String, BedError> {
        let mut small = "shared_buffers = 16MB\nmax_connections = 20\nfsync = off\n".to_owned();
        if self.bed.install().major()?.has_dynamic_shared_memory() {
            // Inside the data directory, so that a killed server leaves nothing in /dev/shm.
            small.push_str("dynamic_shared_memory_type = mmap\n");
        }
        Ok(small)
    }

    /// Settings with which a primary archives with archiveWALFile and a standby answers queries.
    pub fn archiving_conf(&self) -> Result<String, BedError> {
        let major = self.bed.install().major()?;
        let mut conf =
            "archive_command = '../2warm/global/replication/archiveWALFile %p %f'\n".to_owned();
        if major.has_archive_mode() {
            conf.push_str("archive_mode = on\n");
        }
        if let Some(level) = major.replica_wal_level() {
            conf.push_str(&format!("wal_level = {level}\nhot_standby = on\n"));
        }
        Ok(conf)
    }

    /// Creates a cluster with segments of 1 MB, which are shipped faster; before 11 with segments of 16 MB.
    pub fn initdb_small_segments(&self) -> Result<(), BedError> {
        let major = self.bed.install().major()?;
        let chosen = major.has_segment_size_option();
        let (option, megabytes) =
            if chosen { (&["--wal-segsize=1"][..], 2) } else { (&[][..], 32) };
        self.initdb(option)?;
        if !major.has_wal_size_settings() {
            return Ok(());
        }
        self.append_conf(&format!("min_wal_size = {megabytes}MB\nmax_wal_size = 64MB"))
    }

    /// Settings for port and socket directory of this node. A node whose data directory is a copy of another's needs
    /// them in its `local/postgresql.conf`.
    pub fn own_conf(&self) -> Result<String, BedError> {
        let dir = self.socket_dir();
        if dir.as_os_str().len() > SOCKET_DIR_MAX {
            let dir = dir.display();
            return Err(BedError(format!("{dir} is too long for a socket: set TMPDIR")));
        }
        let setting = self.bed.install().major()?.socket_setting();
        let (port, dir) = (self.port, dir.display());
        Ok(format!("listen_addresses = ''\nport = {port}\n{setting} = '{dir}'\n"))
    }

    /// Adds lines to postgresql.conf. The last value of a setting is used.
    pub fn append_conf(&self, lines: &str) -> Result<(), BedError> {
        let file = self.pgdata().join("postgresql.conf");
        let open = OpenOptions::new().append(true).open(&file);
        open.and_then(|mut conf| writeln!(conf, "{lines}"))
            .map_err(BedError::io("append to", &file))
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// The port in the name of the server's socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server and waits until it accepts connections.
    pub fn start(&self) -> Result<(), BedError> {
        self.start_until("accept connections", || match self.status() {
            // Reading the file causes no refused connections in the log.
            Some(status) => status == "ready",
            None => self.client().is_ok(),
        })
    }

    /// Starts the server and waits until it accepts connections or refuses them because it is starting up: a warm
    /// standby always refuses them, and a hot one until it is consistent.
    pub fn start_warm(&self) -> Result<(), BedError> {
        self.start_until("come up", || match self.config().connect(NoTls) {
            Ok(_) => true,
            Err(error) => error.code() == Some(&SqlState::CANNOT_CONNECT_NOW),
        })
    }

    /// The state in postmaster.pid (from 10 on): starting, ready, standby.
    fn status(&self) -> Option<String> {
        let child = self.server.borrow().as_ref().map(|child| child.id().to_string());
        // The file of a killed server remains until the new server writes its own.
        if self.pid_file_line(0) == child { self.pid_file_line(7) } else { None }
    }

    /// Starts `postgres` as a child process rather than through pg_ctl: a failed start is noticed at once, and a killed
    /// server does not remain as a zombie.
    fn start_until(&self, goal: &str, reached: impl Fn() -> bool) -> Result<(), BedError> {
        self.reap();
        let log = self.home.join("server.log");
        let opened = OpenOptions::new().append(true).create(true).open(&log);
        let out = opened.map_err(BedError::io("open", &log))?;
        let err = out.try_clone().map_err(BedError::io("open", &log))?;
        let mut command = self.program(self.bed.install().program("postgres"));
        command.arg("-D").arg(self.pgdata()).stdout(out).stderr(err).process_group(0);
        let child = command
            .spawn()
            .map_err(BedError::io("run postgres in", self.bed.install().bindir()))?;
        self.server.replace(Some(child));
        let what = format!("{}'s server to {goal}", self.name);
        let outcome = wait_until(&what, START_LIMIT, || {
            if let Some(ending) = self.ending() {
                let text = format!("{}'s server did not start ({ending})", self.name);
                return Some(Err(BedError(text)));
            }
            reached().then_some(Ok(()))
        });
        outcome.and_then(|answer| answer).map_err(|error| self.with_log(error))
    }

    fn ending(&self) -> Option<std::process::ExitStatus> {
        self.server.borrow_mut().as_mut()?.try_wait().ok()?
    }

    /// Reaps a server that has been stopped.
    fn reap(&self) {
        if self.pid().is_none()
            && let Some(mut child) = self.server.take()
        {
            let _ = child.wait();
        }
    }

    pub(super) fn with_log(&self, error: BedError) -> BedError {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        BedError(format!("{error}\nthe end of its log:\n{tail}"))
    }

    /// Runs pg_ctl for the node's data directory; returns what it printed.
    pub fn pg_ctl(&self, arguments: &[&str]) -> Result<String, BedError> {
        let mut command = self.program(self.bed.install().program("pg_ctl"));
        finish(command.args(arguments).arg("-D").arg(self.pgdata()))
            .map_err(|error| self.with_log(error))
    }

    /// Stops the server with pg_ctl.
    pub fn stop(&self, mode: StopMode) -> Result<(), BedError> {
        let limit = STOP_LIMIT.as_secs().to_string();
        let mut arguments = vec!["stop", "-w", "-m", mode.name()];
        if self.bed.install().major()?.has_pg_ctl_time_limit() {
            arguments.extend(["-t", &limit]);
        }
        self.pg_ctl(&arguments)?;
        self.reap();
        Ok(())
    }

    /// Kills the postmaster with SIGKILL, as a crash would, and waits for its end. Its children end by themselves.
    pub fn kill(&self) -> Result<(), BedError> {
        let stopped = || BedError(format!("{}'s server is not running", self.name));
        let pid = self.pid().ok_or_else(stopped)?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)
            .map_err(|error| BedError(format!("could not kill process {pid}: {error}")))?;
        if let Some(mut child) = self.server.take() {
            let _ = child.wait();
        }
        Ok(())
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        let pid: i32 = self.pid_file_line(0)?.parse().ok()?;
        // After a crash the process may be gone, or its id reused.
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let same = self.pgdata().canonicalize().is_ok_and(|pgdata| pgdata == cwd);
        // A command may have started another server after the one that this process started has ended.
        let child = self.server.borrow().as_ref().map(|child| child.id() as i32);
        let has_ended = child == Some(pid) && self.ending().is_some();
        (same && !has_ended).then_some(pid)
    }

    fn pid_file_line(&self, number: usize) -> Option<String> {
        let text = fs::read_to_string(self.pgdata().join("postmaster.pid")).ok()?;
        text.lines().nth(number).map(|line| line.trim().to_owned())
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.socket_dir()).port(self.port).user(self.run_as().user());
        config.dbname("postgres").connect_timeout(Duration::from_secs(10));
        config
    }

    /// Connects as superuser.
    pub fn client(&self) -> Result<Client, BedError> {
        self.config().connect(NoTls).map_err(|error| self.sql_error("connect", error))
    }

    /// Runs SQL in a new session. Returns rows as lines, with `|` between columns and nulls as empty strings.
    pub fn sql(&self, sql: &str) -> Result<String, BedError> {
        let messages =
            self.client()?.simple_query(sql).map_err(|error| self.sql_error(sql, error))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("")).collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect::<Vec<_>>().join("\n"))
    }

    fn sql_error(&self, doing: &str, error: postgres::Error) -> BedError {
        let detail = error.as_db_error().map(ToString::to_string);
        let detail = detail.unwrap_or_else(|| error.to_string());
        BedError(format!("{} ({doing}): {detail}", self.name))
    }

    /// Whether the server is in recovery. From 9.0 on a server in recovery needs `hot_standby`.
    pub fn is_in_recovery(&self) -> Result<bool, BedError> {
        let major = self.bed.install().major()?;
        if major.has_hot_standby() || self.pid().is_none() || !self.is_starting() {
            return Ok(self.sql(major.in_recovery())? == "t");
        }
        Ok(true)
    }

    fn is_starting(&self) -> bool {
        let refused = self.config().connect(NoTls).err();
        refused.is_some_and(|error| error.code() == Some(&SqlState::CANNOT_CONNECT_NOW))
    }

    /// The newest timeline with a history file in the server's WAL directory. (In 8.2 a session can't query it.)
    pub fn timeline(&self) -> Result<u32, BedError> {
        let wal = self.pgdata().join(self.bed.install().major()?.wal_directory());
        let files = fs::read_dir(&wal).map_err(BedError::io("list", &wal))?.flatten();
        let timelines = files.filter_map(|file| {
            u32::from_str_radix(file.file_name().to_str()?.strip_suffix(".history")?, 16).ok()
        });
        Ok(timelines.max().unwrap_or(1))
    }

    /// The log of the server and of the commands that it runs.
    pub fn log(&self) -> String {
        fs::read(self.home.join("server.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The log without failed connections and statements of tests that wait for something.
    pub fn relevant_log(&self) -> String {
        let noise = [
            "not yet accepting",
            "is starting up",
            "Consistent recovery state has not",
            "does not exist",
            "STATEMENT",
        ];
        let log = self.log();
        let telling = log.lines().filter(|line| !noise.iter().any(|noise| line.contains(noise)));
        telling.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let stopped = self.pid().is_none() || self.stop(StopMode::Immediate).is_ok();
        if !stopped {
            let _ = self.kill();
        }
        // A killed server leaves the small System V shared memory segment that protects its data directory.
        let line = self.bed.install().major().map_or(6, PgMajor::shared_memory_line);
        if let Some(id) = self.pid_file_line(line).as_deref().and_then(|l| l.split(' ').next_back())
        {
            let _ = self.program("ipcrm").args(["-m", id]).output();
        }
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
