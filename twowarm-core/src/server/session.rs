use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::{CancelToken, Client, Config, NoTls, SimpleQueryMessage};

use super::ServerError;
use super::addresses::{Host, Place, client_places, places};
use crate::data_directory::{identity, running_server, works_in};
use crate::limits::within;
use crate::version::PgMajor;

/// As whom to log in.
#[derive(Debug, Clone)]
pub struct Login {
    /// `PGHOST`: a host's name, or a socket's directory.
    pub host: Option<String>,
    /// `PGPORT`.
    pub port: Option<String>,
    /// `PGUSER`, else the operating system's user.
    pub user: Option<String>,
    /// `PGPASSWORD`; the local socket seldom needs one.
    pub password: Option<String>,
    /// `PGDATABASE`, else `postgres`.
    pub database: String,
    /// Connecting may take this long, and so may each statement that is not said to take its time.
    pub time_limit: Duration,
}

/// A server of this machine answers sooner, so that another machine's address costs no more.
const TCP_CONNECT: Duration = Duration::from_secs(5);

/// Where a server stands, seen from a data directory.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    There,
    /// In this directory; none on another machine.
    Elsewhere(Option<PathBuf>),
    Unknown,
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
    /// Connects to the server that runs in `pgdata`, and makes sure that it is that one. Each place where it
    /// may listen is tried: libpq's variables may be meant for another server.
    pub fn open(pgdata: &Path, login: &Login) -> Result<Session, ServerError> {
        let running =
            running_server(pgdata)?.ok_or_else(|| ServerError::NotRunning(pgdata.into()))?;
        let mut tried = Vec::new();
        for place in places(pgdata, Some(&running), login) {
            let opened = Session::connect(&place, login).and_then(|mut session| {
                session.check_is(pgdata)?;
                Ok(session)
            });
            match opened {
                Ok(session) => return Ok(session),
                Err(error) => tried.push((place.from, error)),
            }
        }
        Err(match tried.len() {
            1 => tried.remove(0).1,
            _ => ServerError::Nowhere { pgdata: pgdata.into(), tried },
        })
    }

    fn connect(at: &Place, login: &Login) -> Result<Session, ServerError> {
        let mut config = Config::new();
        match &at.host {
            Host::Socket(directory) => config.host_path(directory),
            Host::Name(name) => config.host(name),
        };
        config.port(at.port).dbname(&login.database);
        config.connect_timeout(login.time_limit.min(TCP_CONNECT));
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
        // Said when connecting, it would be refused by servers that don't know it.
        if let Some(name) = session.major.name_session() {
            session.rows(name)?;
        }
        Ok(session)
    }

    /// A session on the server that clients of this node reach: at PGHOST and PGPORT, else at the usual places.
    pub(super) fn of_clients(login: &Login) -> Option<Session> {
        let login =
            Login { time_limit: login.time_limit.min(Duration::from_secs(3)), ..login.clone() };
        client_places(&login).iter().find_map(|place| Session::connect(place, &login).ok())
    }

    /// Whether the server stands in this directory. On this machine: a primary and its standby often have
    /// the same directory's name and always the same cluster's identifier.
    fn locate(&mut self, pgdata: &Path) -> Result<Stands, ServerError> {
        let question = "select pg_backend_pid()";
        let backend = self.value(question)?.parse();
        let backend: i32 = backend.map_err(|_| ServerError::NoAnswer(question.into()))?;
        match works_in(backend, pgdata) {
            Some(true) => return Ok(Stands::There),
            Some(false) => {
                let cwd = fs::read_link(format!("/proc/{backend}/cwd")).ok();
                return Ok(Stands::Elsewhere(cwd));
            }
            None => {}
        }
        // Only a superuser, and pg_read_all_settings, may see it.
        Ok(match self.value("show data_directory") {
            Ok(directory) if same_directory(Path::new(&directory), pgdata) => Stands::There,
            Ok(directory) => Stands::Elsewhere(Some(directory.into())),
            Err(_) => Stands::Unknown,
        })
    }

    /// Another server may have the port that the file of a crashed one names.
    fn check_is(&mut self, pgdata: &Path) -> Result<(), ServerError> {
        let wanted = || pgdata.to_owned();
        match self.locate(pgdata)? {
            Stands::There | Stands::Unknown => {}
            Stands::Elsewhere(Some(found)) => {
                return Err(ServerError::AnotherServer { wanted: wanted(), found });
            }
            Stands::Elsewhere(None) => return Err(ServerError::AnotherMachine(wanted())),
        }
        if let Some(question) = self.major.system_identifier() {
            let theirs = self.value(question)?;
            // It is a signed number in SQL.
            let theirs = theirs.parse::<i64>().map(|n| n as u64).ok();
            let ours = identity(pgdata)?.map(|cluster| cluster.system_identifier);
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

/// Whether a server answers that runs in a data directory without a `postmaster.pid`, because the file was
/// removed. It is looked for at the addresses where it would listen.
#[must_use]
pub fn runs_without_pid_file(data_directory: &Path, login: &Login) -> bool {
    let login = Login { time_limit: login.time_limit.min(Duration::from_secs(3)), ..login.clone() };
    places(data_directory, None, &login).iter().any(|place| {
        Session::connect(place, &login)
            .and_then(|mut session| session.locate(data_directory))
            .is_ok_and(|stands| stands == Stands::There)
    })
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
        let at = Place { host: Host::Socket(dir.path().into()), port: 5432, from: "a test" };
        let login = Login {
            host: None,
            port: None,
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

    /// What a server refuses with: a severity, a code and a message.
    fn refusal(code: &str) -> &'static [u8] {
        let fields = format!("SFATAL\0C{code}\0Mwhy\0\0");
        let length = (fields.len() as u32 + 4).to_be_bytes();
        [b"E", &length[..], fields.as_bytes()].concat().leak()
    }

    #[test]
    fn each_failure_says_what_to_set_and_the_most_telling_one_counts() {
        // AuthenticationCleartextPassword, to one who has none.
        for refused in [refusal("28P01"), refusal("28000"), b"R\0\0\0\x08\0\0\0\x03"] {
            let error = asking_one_that_says(refused);
            assert!(error.advice().contains("PGPASSWORD"), "{error}");
        }
        let error = asking_one_that_says(refusal("3D000"));
        assert!(error.advice().contains("PGDATABASE"), "{error}");
        let nobody = || {
            let host = Host::Socket("/nowhere".into());
            let login = Login {
                host: None,
                port: None,
                user: None,
                password: None,
                database: "postgres".into(),
                time_limit: Duration::from_secs(9),
            };
            Session::connect(&Place { host, port: 1, from: "a test" }, &login).err().unwrap()
        };
        assert!(nobody().advice().contains("PGPORT and PGHOST"), "{}", nobody());
        let nowhere = |error| ServerError::Nowhere {
            pgdata: "/data".into(),
            tried: vec![("one", nobody()), ("two", error), ("three", nobody())],
        };
        let error = nowhere(asking_one_that_says(refusal("28P01")));
        assert!(error.advice().contains("PGPASSWORD") && !error.is_starting());
        let text = error.to_string();
        assert!(["/data", "from one", "from two"].iter().all(|part| text.contains(part)), "{text}");
        assert!(nowhere(asking_one_that_says(refusal("57P03"))).is_starting());
    }
}
