//! The addresses at which the server of a data directory may listen.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Login;
use crate::data_directory::{Listening, PidFile};

/// An address at which a server may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub host: Host,
    pub port: u16,
    /// What names this address, for messages.
    pub from: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// The directory of a Unix-domain socket.
    Socket(PathBuf),
    Name(String),
}

const DEFAULT_PORT: u16 = 5432;
/// Debian's default and PostgreSQL's own.
const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const VARIABLES: &str = "PGHOST and PGPORT";
const PID_FILE: &str = "postmaster.pid";
const CONFIGURATION: &str = "postgresql.conf";
const DEFAULTS: &str = "the defaults";

/// In the order in which to try them: what libpq's variables name; then what the running server wrote into
/// `postmaster.pid` (from 9.1 on), or else its configuration and the defaults.
pub(super) fn addresses(pgdata: &Path, running: Option<&PidFile>, login: &Login) -> Vec<Address> {
    let own = match running {
        Some(server) if server.port.is_some() => by_pid_file(server, pgdata),
        _ => Vec::new(),
    };
    let known = if own.is_empty() { by_configuration(pgdata) } else { own };
    let mut all: Vec<Address> = Vec::new();
    for address in by_variables(login, &known).into_iter().chain(known) {
        if !all.iter().any(|other| (&other.host, other.port) == (&address.host, address.port)) {
            all.push(address);
        }
    }
    all
}

/// Where libpq connects to by default: what its variables name, else the defaults.
pub(super) fn client_addresses(login: &Login) -> Vec<Address> {
    let defaults: Vec<Address> = defaults(DEFAULT_PORT).collect();
    let named = by_variables(login, &defaults);
    if named.is_empty() { defaults } else { named }
}

/// If only one of the variables is set, the other value is that of the server.
fn by_variables(login: &Login, known: &[Address]) -> Vec<Address> {
    let address = |host: &Host, port| Address { host: host.clone(), port, from: VARIABLES };
    let hosts: Vec<Host> = entries(&login.host).map(Host::of).collect();
    let ports: Vec<u16> = entries(&login.port).filter_map(|port| port.parse().ok()).collect();
    let port_of = |index: usize| match ports.len() {
        0 => known.first().map_or(DEFAULT_PORT, |address| address.port),
        1 => ports[0],
        _ => ports.get(index).copied().unwrap_or(DEFAULT_PORT),
    };
    if hosts.is_empty() {
        let Some(&port) = ports.first() else { return Vec::new() };
        return known.iter().map(|known| address(&known.host, port)).collect();
    }
    hosts.iter().enumerate().map(|(index, host)| address(host, port_of(index))).collect()
}

/// The entries of a list, which libpq accepts from 10 on.
fn entries(value: &Option<String>) -> impl Iterator<Item = &str> {
    value.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|entry| !entry.is_empty())
}

fn by_pid_file(server: &PidFile, pgdata: &Path) -> Vec<Address> {
    let port = server.port.unwrap_or(DEFAULT_PORT);
    let socket = server.socket_directory.iter().map(|dir| Host::Socket(pgdata.join(dir)));
    let address = server.listen_address.iter().map(|address| Host::of(address));
    socket.chain(address).map(|host| Address { host, port, from: PID_FILE }).collect()
}

fn by_configuration(pgdata: &Path) -> Vec<Address> {
    let listening = Listening::of(pgdata);
    let port = listening.port.unwrap_or(DEFAULT_PORT);
    let sockets = listening.sockets.into_iter().flatten();
    let sockets = sockets.map(|dir| Host::Socket(pgdata.join(dir)));
    let addresses = listening.addresses.into_iter().flatten().map(|address| Host::of(&address));
    let configured =
        sockets.chain(addresses).map(|host| Address { host, port, from: CONFIGURATION });
    configured.chain(defaults(port)).chain(defaults(DEFAULT_PORT)).collect()
}

fn defaults(port: u16) -> impl Iterator<Item = Address> {
    let sockets = DEFAULT_SOCKETS.map(|dir| Host::Socket(dir.into()));
    let hosts = sockets.into_iter().chain([Host::Name("localhost".into())]);
    hosts.map(move |host| Address { host, port, from: DEFAULTS })
}

impl Host {
    /// From PGHOST or listen_addresses.
    fn of(text: &str) -> Host {
        match text {
            "*" | "0.0.0.0" | "::" => Host::Name("localhost".into()),
            path if path.starts_with('/') => Host::Socket(path.into()),
            name => Host::Name(name.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Socket(directory) => {
                write!(f, "{}/.s.PGSQL.{}", directory.display(), self.port)
            }
            Host::Name(name) => write!(f, "{name}:{}", self.port),
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
            shared_memory: None,
            status: None,
            port,
            socket_directory: socket.map(PathBuf::from),
            listen_address: address.map(str::to_owned),
        }
    }

    fn shown(pgdata: &Path, running: &PidFile, login: &Login) -> Vec<String> {
        addresses(pgdata, Some(running), login).iter().map(Address::to_string).collect()
    }

    #[test]
    fn from_9_1_on_the_pid_file_names_addresses_and_the_variables_come_first() {
        let dir = Path::new("/data");
        let running = server(Some(5433), Some("sock"), Some("*"));
        let own = ["/data/sock/.s.PGSQL.5433", "localhost:5433"];
        assert_eq!(shown(dir, &running, &login(None, None)), own);
        let with = |host, port| shown(dir, &running, &login(host, port));
        assert_eq!(with(None, Some("5433")), own);
        let other_port = ["/data/sock/.s.PGSQL.6000", "localhost:6000"];
        assert_eq!(with(None, Some("6000")), [&other_port[..], &own].concat());
        assert_eq!(with(Some("db1"), None), [&["db1:5433"][..], &own].concat());
        let both = with(Some("/run"), Some("6000"));
        assert_eq!(both, [&["/run/.s.PGSQL.6000"][..], &own].concat());
        let lists = with(Some("a,/b"), Some("1,2"));
        assert_eq!(lists, [&["a:1", "/b/.s.PGSQL.2"][..], &own].concat());
        let only_tcp = server(Some(5433), None, Some("10.0.0.1"));
        assert_eq!(shown(dir, &only_tcp, &login(None, None)), ["10.0.0.1:5433"]);
    }

    #[test]
    fn before_9_1_the_configuration_names_addresses_before_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let running = server(None, None, None);
        let defaults = |port| {
            let shown = |dir| format!("{dir}/.s.PGSQL.{port}");
            DEFAULT_SOCKETS.map(shown).into_iter().chain([format!("localhost:{port}")])
        };
        let nothing = login(None, None);
        assert_eq!(shown(dir.path(), &running, &nothing), defaults(5432).collect::<Vec<_>>());
        let conf = "port = 5611\nunix_socket_directory = '/my/sock'\nlisten_addresses = ''\n";
        fs::write(dir.path().join("postgresql.conf"), conf).unwrap();
        let expected: Vec<_> = ["/my/sock/.s.PGSQL.5611".to_owned()]
            .into_iter()
            .chain(defaults(5611))
            .chain(defaults(5432))
            .collect();
        assert_eq!(shown(dir.path(), &running, &nothing), expected);
        let by_variables = shown(dir.path(), &running, &login(Some("/pg"), Some("5700")));
        assert_eq!(by_variables[0], "/pg/.s.PGSQL.5700");
        assert_eq!(by_variables[1..], expected);
        let by_port = shown(dir.path(), &running, &login(None, Some("5700")));
        assert_eq!(by_port[0], "/my/sock/.s.PGSQL.5700");
        // Without a postmaster.pid.
        let without: Vec<_> =
            addresses(dir.path(), None, &nothing).iter().map(Address::to_string).collect();
        assert_eq!(without, expected);
    }
}
