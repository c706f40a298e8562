//! Where to look for the server of a data directory.

use std::path::{Path, PathBuf};

use super::Login;
use crate::data_directory::{Listening, PidFile};

/// Where a server may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub host: Host,
    pub port: u16,
    /// What names this place.
    pub from: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Socket(PathBuf),
    Name(String),
}

const DEFAULT_PORT: u16 = 5432;
/// Debian's default and PostgreSQL's own.
const USUAL_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const VARIABLES: &str = "PGHOST and PGPORT";
const PID_FILE: &str = "postmaster.pid";
const CONFIGURATION: &str = "postgresql.conf";
const USUAL: &str = "the usual places";

/// In the order in which they are to be tried: what libpq's variables name; what the running server says of
/// itself in `postmaster.pid` (from 9.1 on), or else its configuration and the usual places.
pub(super) fn places(pgdata: &Path, running: Option<&PidFile>, login: &Login) -> Vec<Place> {
    let by_itself = match running {
        Some(server) if server.port.is_some() => by_pid_file(server, pgdata),
        _ => Vec::new(),
    };
    let known = if by_itself.is_empty() { by_configuration(pgdata) } else { by_itself };
    let mut places: Vec<Place> = Vec::new();
    for place in by_variables(login, &known).into_iter().chain(known) {
        if !places.iter().any(|other| (&other.host, other.port) == (&place.host, place.port)) {
            places.push(place);
        }
    }
    places
}

/// Where libpq finds a server that it is told nothing more about: what its variables name, else the usual
/// places.
pub(super) fn client_places(login: &Login) -> Vec<Place> {
    let usual: Vec<Place> = usual(DEFAULT_PORT).collect();
    let named = by_variables(login, &usual);
    if named.is_empty() { usual } else { named }
}

/// Where only one of the variables is set, the other half is what is known of the server.
fn by_variables(login: &Login, known: &[Place]) -> Vec<Place> {
    let place = |host: &Host, port| Place { host: host.clone(), port, from: VARIABLES };
    let hosts: Vec<Host> = list(&login.host).map(Host::of).collect();
    let ports: Vec<u16> = list(&login.port).filter_map(|port| port.parse().ok()).collect();
    let port_of = |index: usize| match ports.len() {
        0 => known.first().map_or(DEFAULT_PORT, |place| place.port),
        1 => ports[0],
        _ => ports.get(index).copied().unwrap_or(DEFAULT_PORT),
    };
    if hosts.is_empty() {
        let Some(&port) = ports.first() else { return Vec::new() };
        return known.iter().map(|known| place(&known.host, port)).collect();
    }
    hosts.iter().enumerate().map(|(index, host)| place(host, port_of(index))).collect()
}

/// libpq takes a list from 10 on.
fn list(value: &Option<String>) -> impl Iterator<Item = &str> {
    value.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|entry| !entry.is_empty())
}

fn by_pid_file(server: &PidFile, pgdata: &Path) -> Vec<Place> {
    let port = server.port.unwrap_or(DEFAULT_PORT);
    let socket = server.socket_directory.iter().map(|dir| Host::Socket(pgdata.join(dir)));
    let address = server.listen_address.iter().map(|address| Host::of(address));
    socket.chain(address).map(|host| Place { host, port, from: PID_FILE }).collect()
}

fn by_configuration(pgdata: &Path) -> Vec<Place> {
    let listening = Listening::of(pgdata);
    let port = listening.port.unwrap_or(DEFAULT_PORT);
    let sockets = listening.sockets.into_iter().flatten();
    let sockets = sockets.map(|dir| Host::Socket(pgdata.join(dir)));
    let addresses = listening.addresses.into_iter().flatten().map(|address| Host::of(&address));
    let configured = sockets.chain(addresses).map(|host| Place { host, port, from: CONFIGURATION });
    configured.chain(usual(port)).chain(usual(DEFAULT_PORT)).collect()
}

fn usual(port: u16) -> impl Iterator<Item = Place> {
    let sockets = USUAL_SOCKETS.map(|dir| Host::Socket(dir.into()));
    let hosts = sockets.into_iter().chain([Host::Name("localhost".into())]);
    hosts.map(move |host| Place { host, port, from: USUAL })
}

impl Host {
    /// As PGHOST and listen_addresses name it.
    fn of(text: &str) -> Host {
        match text {
            "*" | "0.0.0.0" | "::" => Host::Name("localhost".into()),
            path if path.starts_with('/') => Host::Socket(path.into()),
            name => Host::Name(name.into()),
        }
    }
}

impl Place {
    /// For messages.
    pub fn shown(&self) -> String {
        match &self.host {
            Host::Socket(directory) => format!("{}/.s.PGSQL.{}", directory.display(), self.port),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn login(host: Option<&str>, port: Option<&str>) -> Login {
        Login {
            host: host.map(str::to_owned),
            port: port.map(str::to_owned),
            user: None,
            password: None,
            database: "postgres".into(),
            time_limit: Duration::from_secs(1),
        }
    }

    fn server(port: Option<u16>, socket: Option<&str>, address: Option<&str>) -> PidFile {
        PidFile {
            pid: 1,
            started: None,
            status: None,
            port,
            socket_directory: socket.map(PathBuf::from),
            listen_address: address.map(str::to_owned),
        }
    }

    fn shown(pgdata: &Path, running: &PidFile, login: &Login) -> Vec<String> {
        places(pgdata, Some(running), login).iter().map(Place::shown).collect()
    }

    #[test]
    fn from_9_1_on_the_server_says_where_and_the_variables_come_first() {
        let dir = Path::new("/data");
        let running = server(Some(5433), Some("sock"), Some("*"));
        let by_itself = ["/data/sock/.s.PGSQL.5433", "localhost:5433"];
        assert_eq!(shown(dir, &running, &login(None, None)), by_itself);
        let with = |host, port| shown(dir, &running, &login(host, port));
        assert_eq!(with(None, Some("5433")), by_itself);
        let other_port = ["/data/sock/.s.PGSQL.6000", "localhost:6000"];
        assert_eq!(with(None, Some("6000")), [&other_port[..], &by_itself].concat());
        assert_eq!(with(Some("db1"), None), [&["db1:5433"][..], &by_itself].concat());
        let both = with(Some("/run"), Some("6000"));
        assert_eq!(both, [&["/run/.s.PGSQL.6000"][..], &by_itself].concat());
        let lists = with(Some("a,/b"), Some("1,2"));
        assert_eq!(lists, [&["a:1", "/b/.s.PGSQL.2"][..], &by_itself].concat());
        let only_tcp = server(Some(5433), None, Some("10.0.0.1"));
        assert_eq!(shown(dir, &only_tcp, &login(None, None)), ["10.0.0.1:5433"]);
    }

    #[test]
    fn before_9_1_the_configuration_tells_and_then_the_usual_places() {
        let dir = tempfile::tempdir().unwrap();
        let running = server(None, None, None);
        let usual = |port| {
            let shown = |dir| format!("{dir}/.s.PGSQL.{port}");
            USUAL_SOCKETS.map(shown).into_iter().chain([format!("localhost:{port}")])
        };
        let nothing = login(None, None);
        assert_eq!(shown(dir.path(), &running, &nothing), usual(5432).collect::<Vec<_>>());
        let conf = "port = 5611\nunix_socket_directory = '/my/sock'\nlisten_addresses = ''\n";
        fs::write(dir.path().join("postgresql.conf"), conf).unwrap();
        let expected: Vec<_> = ["/my/sock/.s.PGSQL.5611".to_owned()]
            .into_iter()
            .chain(usual(5611))
            .chain(usual(5432))
            .collect();
        assert_eq!(shown(dir.path(), &running, &nothing), expected);
        let by_variables = shown(dir.path(), &running, &login(Some("/pg"), Some("5700")));
        assert_eq!(by_variables[0], "/pg/.s.PGSQL.5700");
        assert_eq!(by_variables[1..], expected);
        let by_port = shown(dir.path(), &running, &login(None, Some("5700")));
        assert_eq!(by_port[0], "/my/sock/.s.PGSQL.5700");
        // No server there says so, as where somebody has removed its postmaster.pid.
        let without: Vec<_> = places(dir.path(), None, &nothing).iter().map(Place::shown).collect();
        assert_eq!(without, expected);
    }
}
