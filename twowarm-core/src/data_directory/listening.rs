use std::path::{Path, PathBuf};

use super::configuration::{CommandLine, each_setting};

/// Where a data directory's server listens, according to its configuration and the command line of its last
/// start; `None` for a setting that has its default.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listening {
    /// `port`.
    pub port: Option<u16>,
    /// `unix_socket_directories`, before 9.3 `unix_socket_directory`.
    pub sockets: Option<Vec<PathBuf>>,
    /// `listen_addresses`.
    pub addresses: Option<Vec<String>>,
}

impl Listening {
    /// Reads the configuration.
    pub(crate) fn of(data_directory: &Path) -> Listening {
        let command_line = CommandLine::of(data_directory);
        let mut found = Listening::default();
        let mut set = |name: &str, value: &str| found.set(name, value);
        each_setting(&command_line.configuration(data_directory), &mut set);
        each_setting(&data_directory.join("postgresql.auto.conf"), &mut set);
        command_line.settings.iter().for_each(|(name, value)| set(name, value));
        found
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "port" => self.port = value.trim().parse().ok(),
            // An empty value is the default.
            "unix_socket_directory" => {
                self.sockets = (!value.is_empty()).then(|| vec![value.into()]);
            }
            "unix_socket_directories" => {
                self.sockets = Some(entries(value).map(PathBuf::from).collect());
            }
            "listen_addresses" => {
                self.addresses = Some(entries(value).map(str::to_owned).collect());
            }
            _ => {}
        }
    }
}

/// The entries of a list, with or without double quotes.
fn entries(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_value_is_in_force_and_the_command_line_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(Listening::of(dir.path()), Listening::default());
        write("postgresql.conf", "port = 5433\ninclude 'more'\nlisten_addresses = 'a, b'\n");
        write("more", "unix_socket_directories = '/run/pg, \"/my run\"'\n");
        let found = Listening::of(dir.path());
        assert_eq!(found.port, Some(5433));
        assert_eq!(found.sockets, Some(vec!["/run/pg".into(), "/my run".into()]));
        assert_eq!(found.addresses, Some(vec!["a".into(), "b".into()]));
        write("postgresql.auto.conf", "port = 5434\nunix_socket_directories = ''\n");
        let found = Listening::of(dir.path());
        assert_eq!((found.port, found.sockets), (Some(5434), Some(vec![])));
        let line = r#"/pg/postgres "-D" "/d" "-p" "5435" "-k" "/tmp/s" "-i""#;
        write("postmaster.opts", line);
        let found = Listening::of(dir.path());
        assert_eq!((found.port, found.sockets), (Some(5435), Some(vec!["/tmp/s".into()])));
        assert_eq!(found.addresses, Some(vec!["*".into()]));
    }

    #[test]
    fn before_9_3_an_empty_socket_directory_is_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("postgresql.conf");
        fs::write(&conf, "unix_socket_directory = '/a, b'\n").unwrap();
        assert_eq!(Listening::of(dir.path()).sockets, Some(vec!["/a, b".into()]));
        fs::write(&conf, "unix_socket_directory = ''\n").unwrap();
        assert_eq!(Listening::of(dir.path()).sockets, None);
    }
}
