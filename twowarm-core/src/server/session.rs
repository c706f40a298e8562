use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User};
use postgres::error::SqlState;
use postgres::{CancelToken, Client, Config, NoTls, SimpleQueryMessage};

use super::{RunningServer, ServerError};
use crate::data_directory::control_file;
use crate::install::Install;
use crate::time_limit::within;
use crate::version::PgMajor;

/// As whom to log in.
#[derive(Debug, Clone)]
pub struct Login {
    /// `PGUSER`, else the operating system's user.
    pub user: Option<String>,
    /// `PGPASSWORD`; the local socket seldom needs one.
    pub password: Option<String>,
    /// `PGDATABASE`, else `postgres`.
    pub database: String,
    /// Connecting may take this long, and so may each statement that is not said to take its time.
    pub time_limit: Duration,
}

impl Login {
    /// As this node's `environment.sh` and environment say.
    pub fn of(install: &Install) -> Login {
        let system_user = || User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
        Login {
            user: install.variable("PGUSER").or_else(system_user),
            password: install.variable("PGPASSWORD"),
            database: install.variable("PGDATABASE").unwrap_or_else(|| "postgres".into()),
            time_limit: install.settings.time_limit,
        }
    }
}

/// A session on the server of one data directory. It asks by simple queries, which every version
/// understands.
///
/// What the server does not answer within the time limit is given up, and the session with it: a server
/// that hangs does not close its connections.
pub struct Session {
    /// None once an answer was given up.
    client: Option<Client>,
    major: PgMajor,
    time_limit: Duration,
}

/// Ends the statement that a session is waiting for.
pub struct Canceller(Option<CancelToken>);

impl Canceller {
    /// Asks the server to; a server that does not listen is not waited for.
    pub fn cancel(&self) {
        if let Some(token) = self.0.clone() {
            let _ = within(Duration::from_secs(1), move || token.cancel_query(NoTls));
        }
    }
}

impl Session {
    /// Connects to the server that runs in `pgdata`, and makes sure that it is that one.
    pub fn open(pgdata: &Path, login: &Login) -> Result<Session, ServerError> {
        let running =
            RunningServer::find(pgdata)?.ok_or_else(|| ServerError::NotRunning(pgdata.into()))?;
        let mut session = Session::connect(&address(&running, pgdata), login)?;
        session.check_is(pgdata)?;
        Ok(session)
    }

    fn connect(at: &Address, login: &Login) -> Result<Session, ServerError> {
        let mut config = Config::new();
        match &at.host {
            Host::Socket(directory) => config.host_path(directory),
            Host::Name(name) => config.host(name),
        };
        config.port(at.port).dbname(&login.database).connect_timeout(login.time_limit);
        config.application_name("twowarm");
        if let Some(user) = &login.user {
            config.user(user);
        }
        if let Some(password) = &login.password {
            config.password(password);
        }
        let failed = |source| ServerError::Connect { to: at.shown(), source };
        // The driver's own limit ends where the connection is made; a server that hangs is silent after.
        let client = within(login.time_limit, move || config.connect(NoTls))?;
        let client = client
            .ok_or_else(|| ServerError::Silent { to: at.shown(), limit: login.time_limit })?;
        let mut session = Session {
            client: Some(client.map_err(failed)?),
            major: PgMajor::from_version_num(0),
            time_limit: login.time_limit,
        };
        session.major = session.ask_version()?;
        Ok(session)
    }

    /// Whether a server answers that stands in `pgdata` although no `postmaster.pid` there says so. Asked
    /// are the places where clients look by themselves.
    pub fn find_unlisted(pgdata: &Path, login: &Login, port: Option<u16>) -> bool {
        let login =
            Login { time_limit: login.time_limit.min(Duration::from_secs(3)), ..login.clone() };
        let places = ["/var/run/postgresql", "/tmp"].map(|d| Host::Socket(PathBuf::from(d)));
        places.into_iter().any(|host| {
            let at = Address { host, port: port.unwrap_or(5432) };
            Session::connect(&at, &login)
                .and_then(|mut session| session.value("show data_directory"))
                .is_ok_and(|directory| same_directory(Path::new(&directory), pgdata))
        })
    }

    /// Another server may have the port that the file of a crashed one names.
    fn check_is(&mut self, pgdata: &Path) -> Result<(), ServerError> {
        // Only a superuser, and pg_read_all_settings, may see it.
        if let Ok(directory) = self.value("show data_directory")
            && !same_directory(Path::new(&directory), pgdata)
        {
            return Err(ServerError::AnotherServer {
                wanted: pgdata.into(),
                found: directory.into(),
            });
        }
        if let Some(question) = self.major.system_identifier() {
            let theirs = self.value(question)?;
            // It is a signed number in SQL.
            let theirs = theirs.parse::<i64>().map(|n| n as u64).ok();
            let ours = control_file(pgdata)?.map(|control| control.system_identifier);
            if theirs != ours {
                return Err(ServerError::AnotherCluster(pgdata.into()));
            }
        }
        Ok(())
    }

    fn ask_version(&mut self) -> Result<PgMajor, ServerError> {
        let question = "show server_version_num";
        let number = self.value(question)?.parse();
        let number = number.map_err(|_| ServerError::NoAnswer(question.into()))?;
        Ok(PgMajor::from_version_num(number))
    }

    /// The server's version.
    pub fn major(&self) -> PgMajor {
        self.major
    }

    /// What a statement may take that is not said to take its time.
    pub(super) fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// The first row's columns; a null is an empty text.
    pub fn row(&mut self, sql: &str) -> Result<Vec<String>, ServerError> {
        self.rows(sql)?.into_iter().next().ok_or_else(|| ServerError::NoAnswer(sql.into()))
    }

    /// All rows.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
        let late = || ServerError::Late { sql: sql.into(), limit: self.time_limit };
        let mut client = self.client.take().ok_or_else(late)?;
        let cancel = client.cancel_token();
        let text = sql.to_owned();
        let asked = within(self.time_limit, move || (rows(&mut client, &text), client))?;
        let Some((answer, client)) = asked else {
            // A server that still listens lets go of the statement; nobody waits for that.
            let _ = within(Duration::ZERO, move || cancel.cancel_query(NoTls));
            return Err(late());
        };
        self.client = Some(client);
        answer
    }

    /// What ends a statement that is under way, from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.client.as_ref().map(Client::cancel_token))
    }

    /// The first row of a statement that takes its time, such as one that waits for a checkpoint.
    pub(super) fn slow_row(&mut self, sql: &str) -> Result<Vec<String>, ServerError> {
        let late = || ServerError::Late { sql: sql.into(), limit: self.time_limit };
        let rows = rows(self.client.as_mut().ok_or_else(late)?, sql)?;
        rows.into_iter().next().ok_or_else(|| ServerError::NoAnswer(sql.into()))
    }

    /// The first column of the first row.
    pub fn value(&mut self, sql: &str) -> Result<String, ServerError> {
        let first = self.row(sql)?.into_iter().next();
        first.ok_or_else(|| ServerError::NoAnswer(sql.into()))
    }

    /// A setting's value.
    pub fn setting(&mut self, name: &'static str) -> Result<String, ServerError> {
        self.value(&format!("show {name}"))
    }

    /// Whether the server is in recovery.
    pub fn in_recovery(&mut self) -> Result<bool, ServerError> {
        Ok(self.value(self.major.in_recovery())? == "t")
    }

    /// Commits a transaction that writes.
    pub fn commit_a_write(&mut self) -> Result<(), ServerError> {
        if let Some(alone) = self.major.commit_alone() {
            self.rows(alone)?;
        }
        self.rows(self.major.committed_write()).map(drop)
    }
}

fn rows(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
    let failed = |source| ServerError::Query { sql: sql.into(), source };
    let messages = client.simple_query(sql).map_err(failed)?;
    let columns = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(columns).collect())
}

fn same_directory(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| -> io::Result<PathBuf> { path.canonicalize() };
    real(a).is_ok_and(|a| real(b).is_ok_and(|b| a == b))
}

/// Where a server listens.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: Host,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Socket(PathBuf),
    Name(String),
}

impl Address {
    fn shown(&self) -> String {
        match &self.host {
            Host::Socket(directory) => format!("{}/.s.PGSQL.{}", directory.display(), self.port),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

/// From what the server says about itself; what it did not say (before 9.1) is as clients take it.
fn address(running: &RunningServer, pgdata: &Path) -> Address {
    let host = match (&running.socket_directory, running.listen_address.as_deref()) {
        (Some(directory), _) => Host::Socket(pgdata.join(directory)),
        (None, Some("*" | "0.0.0.0" | "::")) => Host::Name("localhost".into()),
        (None, Some(name)) => Host::Name(name.into()),
        (None, None) => Host::Socket("/var/run/postgresql".into()),
    };
    Address { host, port: running.port.unwrap_or(5432) }
}

impl ServerError {
    /// Whether the server is there but takes no connections yet (or, stopping, no more).
    pub fn is_starting(&self) -> bool {
        match self {
            ServerError::Connect { source, .. } => {
                source.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// What comes of asking a server that says this to whoever connects, and nothing more.
    fn asking_one_that_says(greeting: &'static [u8]) -> ServerError {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let _ = client.read(&mut [0; 1024]);
            client.write_all(greeting).unwrap();
            // Reads what else comes, until the client leaves.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let at = Address { host: Host::Socket(dir.path().into()), port: 5432 };
        let login = Login {
            user: Some("pg".into()),
            password: None,
            database: "postgres".into(),
            time_limit: Duration::from_millis(300),
        };
        let start = Instant::now();
        let error = Session::connect(&at, &login).err().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{error}");
        error
    }

    #[test]
    fn a_server_that_hangs_is_given_up() {
        let error = asking_one_that_says(b"");
        assert!(matches!(error, ServerError::Silent { .. }), "{error}");
        // AuthenticationOk and ReadyForQuery.
        let error = asking_one_that_says(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
        assert!(matches!(error, ServerError::Late { .. }), "{error}");
    }

    #[test]
    fn the_socket_is_preferred_and_a_wildcard_is_this_machine() {
        let mut running = RunningServer {
            pid: 1,
            port: Some(5433),
            socket_directory: Some("sock".into()),
            listen_address: Some("*".into()),
        };
        let at = address(&running, Path::new("/data"));
        assert_eq!(at, Address { host: Host::Socket("/data/sock".into()), port: 5433 });
        running.socket_directory = None;
        assert_eq!(address(&running, Path::new("/data")).shown(), "localhost:5433");
    }
}
