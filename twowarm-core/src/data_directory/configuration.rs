use std::fs;
use std::path::{Path, PathBuf};

use super::config_file::read_line;

/// The maximum nesting of included files, as in PostgreSQL.
const MAX_DEPTH: u32 = 10;

/// Calls `found` with each setting of a configuration file and of the files that it includes, in the order in
/// which PostgreSQL reads them: the last setting of a name is in force. Files and lines that can't be read are
/// ignored; they keep the server from starting, or it does not read them either.
pub(crate) fn each_setting(file: &Path, found: &mut dyn FnMut(&str, &str)) {
    read_file(file, 0, found);
}

fn read_file(file: &Path, depth: u32, found: &mut dyn FnMut(&str, &str)) {
    let Some(bytes) = fs::read(file).ok().filter(|_| depth < MAX_DEPTH) else { return };
    // Comments may have any encoding.
    let text = String::from_utf8_lossy(&bytes);
    for (name, value) in text.lines().filter_map(|line| read_line(line).ok().flatten()) {
        let path = || file.parent().unwrap_or(Path::new("")).join(&value);
        match name.as_str() {
            "include" | "include_if_exists" => read_file(&path(), depth + 1, found),
            "include_dir" => {
                files_of(&path()).iter().for_each(|file| read_file(file, depth + 1, found));
            }
            name => found(name, &value),
        }
    }
}

/// The files that `include_dir` reads, in that order.
fn files_of(directory: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.file_name());
    let mut names: Vec<_> = names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.ends_with(".conf") && !name.starts_with('.')
        })
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// Where Debian and its derivatives keep configurations: VERSION/CLUSTER/postgresql.conf.
#[cfg(feature = "server")]
const DEBIAN: &str = "/etc/postgresql";

/// The `postgresql.conf` that the server of a data directory will read: the one of its last start, else the one
/// in Debian's layout that names the directory, else the one in the directory; `None` if there is none.
#[cfg(feature = "server")]
pub(crate) fn server_configuration(data_directory: &Path) -> Option<PathBuf> {
    let own = data_directory.join("postgresql.conf");
    let last = CommandLine::of(data_directory).configuration(data_directory);
    if last != own {
        return Some(last);
    }
    debian_configuration(Path::new(DEBIAN), data_directory).or(own.exists().then_some(own))
}

/// Calls `found` with each setting of that server, the one in force last. `file` is its `postgresql.conf`.
#[cfg(feature = "server")]
pub(crate) fn server_settings(
    file: &Path,
    data_directory: &Path,
    found: &mut dyn FnMut(&str, &str),
) {
    each_setting(file, found);
    each_setting(&data_directory.join("postgresql.auto.conf"), found);
    CommandLine::of(data_directory).settings.iter().for_each(|(name, value)| found(name, value));
}

#[cfg(feature = "server")]
fn debian_configuration(root: &Path, data_directory: &Path) -> Option<PathBuf> {
    let wanted = data_directory.canonicalize().ok()?;
    let below = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    let clusters = below(root).flat_map(|version| below(&version.path()));
    let mut files = clusters.map(|cluster| cluster.path().join("postgresql.conf"));
    files.find(|file| {
        let mut named = None;
        each_setting(file, &mut |name, value| {
            if name == "data_directory" {
                named = Path::new(value).canonicalize().ok();
            }
        });
        named.as_ref() == Some(&wanted)
    })
}

/// The command line of the last start of a data directory's server, from `postmaster.opts`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The directory that `-D` names. If it is not the data directory, it contains postgresql.conf.
    directory: Option<PathBuf>,
    /// Its settings, which override those of all files.
    pub settings: Vec<(String, String)>,
}

/// Settings that have a short option.
const SHORT: [(&str, &str); 3] =
    [("-p", "port"), ("-k", "unix_socket_directories"), ("-h", "listen_addresses")];

impl CommandLine {
    /// Empty for a server that was never started.
    pub(super) fn of(data_directory: &Path) -> CommandLine {
        let bytes = fs::read(data_directory.join("postmaster.opts")).unwrap_or_default();
        CommandLine::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The file contains the program's path, and each argument after a space and in double quotes, without any
    /// escaping.
    fn parse(text: &str) -> CommandLine {
        let line = text.lines().next().unwrap_or_default().trim_end();
        let arguments = line.split_once(" \"").map_or("", |(_, arguments)| arguments);
        let mut arguments = arguments.strip_suffix('"').unwrap_or_default().split("\" \"");
        let mut found = CommandLine::default();
        while let Some(argument) = arguments.next() {
            let mut value_of = |option| {
                let rest = argument.strip_prefix(option)?;
                if rest.is_empty() { arguments.next() } else { Some(rest) }
            };
            if let Some(directory) = value_of("-D") {
                found.directory = Some(directory.into());
            } else if let Some((name, value)) =
                SHORT.iter().find_map(|(option, name)| Some((*name, value_of(option)?)))
            {
                found.settings.push((name.into(), value.into()));
            } else if argument == "-i" {
                found.settings.push(("listen_addresses".into(), "*".into()));
            } else if let Some((name, value)) = value_of("-c")
                .or_else(|| value_of("--"))
                .and_then(|setting| setting.split_once('='))
            {
                found.settings.push((name.replace('-', "_").to_ascii_lowercase(), value.into()));
            }
        }
        found
    }

    /// The `postgresql.conf` that the server read, which may be outside the data directory.
    pub(super) fn configuration(&self, data_directory: &Path) -> PathBuf {
        let given = self.settings.iter().rev().find(|(name, _)| name == "config_file");
        let given = given.map(|(_, path)| PathBuf::from(path));
        let beside = self.directory.as_ref().map(|directory| directory.join("postgresql.conf"));
        // It is not recorded what a relative path is relative to.
        let usable = |path: &PathBuf| path.is_absolute() && path.exists();
        let elsewhere = given.or(beside).filter(usable);
        elsewhere.unwrap_or_else(|| data_directory.join("postgresql.conf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_are_read_in_the_server_s_order_and_recursion_ends() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        write("postgresql.conf", b"a = 1\ninclude_dir 'conf.d'\ninclude_if_exists none\nz = 9\n");
        write("conf.d/b.conf", b"# \xfc\nb = 2\ninclude = '../more'\n");
        write("conf.d/a.conf", b"it's not a setting\nA = 3\n");
        write("conf.d/.hidden.conf", b"h = 0\n");
        write("more", b"m = 4\n");
        let mut found = Vec::new();
        let conf = dir.path().join("postgresql.conf");
        each_setting(&conf, &mut |name, value| found.push(format!("{name}{value}")));
        assert_eq!(found, ["a1", "a3", "b2", "m4", "z9"]);
        write("more", b"include 'more'\n");
        each_setting(&conf, &mut |_, _| {});
    }

    #[test]
    fn postmaster_opts_is_read_as_the_server_writes_it() {
        let read = |arguments: &str| CommandLine::parse(&format!("/p g/postgres{arguments}\n"));
        let line = read(
            r#" "-D" "/var/lib/main" "-c" "config_file=/etc/p.conf" "-cPort=1" "--primary-conninfo=host=a b""#,
        );
        assert_eq!(line.directory, Some("/var/lib/main".into()));
        let expected =
            [("config_file", "/etc/p.conf"), ("port", "1"), ("primary_conninfo", "host=a b")];
        assert_eq!(line.settings, expected.map(|(name, value)| (name.into(), value.into())));
        let line = read(r#" "-p" "1" "-k/run" "-h" "" "-i""#);
        let expected = [
            ("port", "1"),
            ("unix_socket_directories", "/run"),
            ("listen_addresses", ""),
            ("listen_addresses", "*"),
        ];
        assert_eq!(line.settings, expected.map(|(name, value)| (name.into(), value.into())));
        for nothing in ["", " \"-D\"", " \"-B\" \"1\"", " \"-c\" \"x\"", " \"open"] {
            assert_eq!(read(nothing), CommandLine::default(), "{nothing}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn debian_s_configuration_is_the_one_that_names_the_directory() {
        let (root, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let configure = |cluster: &str, directory: &Path| {
            let path = root.path().join(cluster);
            fs::create_dir_all(&path).unwrap();
            let text = format!("data_directory = '{}' # here\n", directory.display());
            fs::write(path.join("postgresql.conf"), text).unwrap();
        };
        configure("15/other", root.path());
        fs::create_dir(root.path().join("16")).unwrap();
        assert_eq!(debian_configuration(root.path(), data.path()), None);
        configure("15/main", &data.path().join("."));
        let expected = root.path().join("15/main/postgresql.conf");
        assert_eq!(debian_configuration(root.path(), data.path()), Some(expected));
        assert_eq!(server_configuration(data.path()), None);
        fs::write(data.path().join("postgresql.conf"), "a = 1\n").unwrap();
        fs::write(data.path().join("postgresql.auto.conf"), "a = 2\n").unwrap();
        let file = server_configuration(data.path()).unwrap();
        let mut last = String::new();
        server_settings(&file, data.path(), &mut |_, value| last = value.into());
        assert_eq!(last, "2");
    }

    #[test]
    fn the_configuration_may_be_outside_the_data_directory() {
        let (dir, etc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let here = dir.path().join("postgresql.conf");
        let there = etc.path().join("postgresql.conf");
        let of = |arguments: &str| {
            fs::write(dir.path().join("postmaster.opts"), format!("/p{arguments}\n")).unwrap();
            CommandLine::of(dir.path()).configuration(dir.path())
        };
        assert_eq!(CommandLine::of(dir.path()).configuration(dir.path()), here);
        let named = format!(" \"-c\" \"config_file={}\"", there.display());
        let beside = format!(" \"-D\" \"{}\"", etc.path().display());
        assert_eq!(of(&named), here, "it is gone");
        fs::write(&there, "").unwrap();
        assert_eq!(of(&named), there);
        assert_eq!(of(&beside), there);
        assert_eq!(of(" \"-D\" \"data\""), here);
    }
}
