//! Connecting to the server of a data directory, and making sure that it is that one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::{Config, NoTls};

use super::addresses::{Address, Host, addresses, client_addresses};
use super::{ServerError, Session};
use crate::data_directory::{identity, running_server, works_in};
use crate::limits::within;

/// How to log in to a server. The variables are libpq's.
#[derive(Clone)]
pub struct Login {
    /// `PGHOST`: a host name, or the directory of a Unix-domain socket.
    pub host: Option<String>,
    /// `PGPORT`.
    pub port: Option<String>,
    /// `PGUSER`, else the operating system's user.
    pub user: Option<String>,
    /// `PGPASSWORD`; seldom needed for a Unix-domain socket.
    pub password: Option<String>,
    /// `PGDATABASE`, else `postgres`.
    pub database: String,
    /// The time limit for connecting, and for each statement that is not known to take longer.
    pub time_limit: Duration,
}

/// The time limit for a TCP connection. A server on this machine answers sooner, so an address of another
/// machine costs no more than this.
const TCP_CONNECT: Duration = Duration::from_secs(5);

/// The time limit for addresses at which another server may answer, or no server.
const SEARCH: Duration = Duration::from_secs(3);

/// Where the server that answered runs.
#[derive(Debug, PartialEq, Eq)]
enum Location {
    /// In the data directory.
    Here,
    /// In this directory; `None` if it is on another machine.
    Elsewhere(Option<PathBuf>),
    Unknown,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Login { host, port, user, password, database, time_limit } = self;
        f.debug_struct("Login")
            .field("host", host)
            .field("port", port)
            .field("user", user)
            .field("password", &password.as_ref().map(|_| "..."))
            .field("database", database)
            .field("time_limit", time_limit)
            .finish()
    }
}

impl Login {
    fn for_search(&self) -> Login {
        Login { time_limit: self.time_limit.min(SEARCH), ..self.clone() }
    }
}

impl Session {
    /// Connects to the server that runs in a data directory. Each address is tried at which it may listen, because
    /// libpq's variables may name another server; a server in another directory is refused.
    ///
    /// # Errors
    /// If no server is running there, or none of the addresses leads to it.
    pub fn open(data_directory: &Path, login: &Login) -> Result<Session, ServerError> {
        let running = running_server(data_directory)?
            .ok_or_else(|| ServerError::NotRunning(data_directory.into()))?;
        let mut tried = Vec::new();
        for address in addresses(data_directory, Some(&running), login) {
            let opened = Session::connect(&address, login).and_then(|mut session| {
                session.check_location(data_directory)?;
                Ok(session)
            });
            match opened {
                Ok(session) => return Ok(session),
                Err(error) => tried.push((address.from, error)),
            }
        }
        Err(match tried.len() {
            1 => tried.remove(0).1,
            _ => ServerError::NotReached { data_directory: data_directory.into(), tried },
        })
    }

    fn connect(address: &Address, login: &Login) -> Result<Session, ServerError> {
        let mut config = Config::new();
        match &address.host {
            Host::Socket(directory) => config.host_path(directory),
            Host::Name(name) => config.host(name),
        };
        config.port(address.port).dbname(&login.database);
        config.connect_timeout(login.time_limit.min(TCP_CONNECT));
        if let Some(user) = &login.user {
            config.user(user);
        }
        if let Some(password) = &login.password {
            config.password(password);
        }
        let to = || address.to_string();
        let limit = login.time_limit;
        // The driver's own limit ends when the connection is made; a server that hangs is silent afterwards.
        let client = within(limit, move || config.connect(NoTls))?;
        let client = client.ok_or_else(|| ServerError::ConnectTimeout { to: to(), limit })?;
        let client = client.map_err(|error| ServerError::Connect { to: to(), error })?;
        Session::new(client, limit)
    }

    /// A session on the server that a client of this node reaches: at PGHOST and PGPORT, else at the defaults.
    pub(super) fn of_clients(login: &Login) -> Option<Session> {
        let login = login.for_search();
        let addresses = client_addresses(&login);
        addresses.iter().find_map(|address| Session::connect(address, &login).ok())
    }

    /// Where the server runs. A primary and its standby have the same system identifier and often the same data
    /// directory's name, so it is also checked that the server is on this machine.
    fn location(&mut self, data_directory: &Path) -> Result<Location, ServerError> {
        let question = "select pg_backend_pid()";
        let backend = self.value(question)?.parse();
        let backend: i32 = backend.map_err(|_| ServerError::UnexpectedResult(question.into()))?;
        match works_in(backend, data_directory) {
            Some(true) => return Ok(Location::Here),
            Some(false) => {
                let directory = fs::read_link(format!("/proc/{backend}/cwd")).ok();
                return Ok(Location::Elsewhere(directory));
            }
            None => {}
        }
        // Visible to superusers and pg_read_all_settings only.
        Ok(match self.value("show data_directory") {
            Ok(directory) if is_same_directory(Path::new(&directory), data_directory) => {
                Location::Here
            }
            Ok(directory) => Location::Elsewhere(Some(directory.into())),
            Err(_) => Location::Unknown,
        })
    }

    /// Another server may use the port that the pid file of a crashed one names.
    fn check_location(&mut self, data_directory: &Path) -> Result<(), ServerError> {
        let wanted = data_directory.to_owned();
        match self.location(data_directory)? {
            Location::Here | Location::Unknown => {}
            Location::Elsewhere(Some(found)) => {
                return Err(ServerError::AnotherServer { wanted, found });
            }
            Location::Elsewhere(None) => return Err(ServerError::AnotherMachine(wanted)),
        }
        if let Some(question) = self.major().system_identifier() {
            let theirs = self.value(question)?;
            // SQL returns it as a signed number.
            let theirs = theirs.parse::<i64>().map(|n| n as u64).ok();
            let ours = identity(data_directory)?.map(|cluster| cluster.system_identifier);
            if theirs != ours {
                return Err(ServerError::AnotherCluster(wanted));
            }
        }
        Ok(())
    }
}

/// Whether a server answers that runs in a data directory although its `postmaster.pid` was removed. It is
/// looked for at the addresses at which it would listen.
pub(crate) fn runs_without_pid_file(data_directory: &Path, login: &Login) -> bool {
    let login = login.for_search();
    addresses(data_directory, None, &login).iter().any(|address| {
        Session::connect(address, &login)
            .and_then(|mut session| session.location(data_directory))
            .is_ok_and(|location| location == Location::Here)
    })
}

fn is_same_directory(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// The error of a connection to a server that sends this and nothing more.
    fn error_of_server_that_sends(greeting: &'static [u8]) -> ServerError {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let _ = client.read(&mut [0; 1024]);
            client.write_all(greeting).unwrap();
            // Until the client closes the connection.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let address = Address { host: Host::Socket(dir.path().into()), port: 5432, from: "a test" };
        let login = Login {
            host: None,
            port: None,
            user: Some("pg".into()),
            password: None,
            database: "postgres".into(),
            time_limit: Duration::from_millis(300),
        };
        Session::connect(&address, &login).err().unwrap()
    }

    #[test]
    fn a_server_that_hangs_is_not_waited_for() {
        let error = error_of_server_that_sends(b"");
        assert!(matches!(error, ServerError::ConnectTimeout { .. }), "{error}");
        // AuthenticationOk and ReadyForQuery.
        let error = error_of_server_that_sends(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
        assert!(matches!(error, ServerError::StatementTimeout { .. }), "{error}");
    }

    /// An ErrorResponse with a severity, a code and a message.
    fn refusal(code: &str) -> &'static [u8] {
        let fields = format!("SFATAL\0C{code}\0Mwhy\0\0");
        let length = (fields.len() as u32 + 4).to_be_bytes();
        [b"E", &length[..], fields.as_bytes()].concat().leak()
    }

    #[test]
    fn the_advice_depends_on_the_failure_and_the_most_specific_one_is_given() {
        // The last one is AuthenticationCleartextPassword, to a client that has no password.
        for refused in [refusal("28P01"), refusal("28000"), b"R\0\0\0\x08\0\0\0\x03"] {
            let error = error_of_server_that_sends(refused);
            assert!(error.advice().contains("PGPASSWORD"), "{error}");
        }
        let error = error_of_server_that_sends(refusal("3D000"));
        assert!(error.advice().contains("PGDATABASE"), "{error}");
        let no_server = || {
            let host = Host::Socket("/nowhere".into());
            let login = Login {
                host: None,
                port: None,
                user: None,
                password: None,
                database: "postgres".into(),
                time_limit: Duration::from_secs(9),
            };
            Session::connect(&Address { host, port: 1, from: "a test" }, &login).err().unwrap()
        };
        assert!(no_server().advice().contains("PGPORT and PGHOST"), "{}", no_server());
        let not_reached = |error| ServerError::NotReached {
            data_directory: "/data".into(),
            tried: vec![("one", no_server()), ("two", error), ("three", no_server())],
        };
        let error = not_reached(error_of_server_that_sends(refusal("28P01")));
        assert!(error.advice().contains("PGPASSWORD") && !error.is_starting());
        let text = error.to_string();
        assert!(["/data", "from one", "from two"].iter().all(|part| text.contains(part)), "{text}");
        assert!(not_reached(error_of_server_that_sends(refusal("57P03"))).is_starting());
    }
}
