use std::fmt;
use std::fs;
use std::path::Path;

use super::configuration::{CommandLine, each_setting};
use super::{IdentityError, major_version};
use crate::file_error::{FileError, if_exists};

/// The two modes in which a server replays the WAL that restore_command returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryMode {
    /// `standby.signal`, before 12 `standby_mode = 'on'`: if restore_command fails, the server calls it again,
    /// and between two calls it obeys a promotion and looks for new timelines.
    Standby,
    /// Archive recovery: it ends at the first segment that restore_command does not return, and the server
    /// opens. The only mode up to 8.4.
    Warm,
}

/// As in 2warm.toml.
impl fmt::Display for RecoveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecoveryMode::Standby => "standby",
            RecoveryMode::Warm => "warm",
        })
    }
}

/// The recovery settings of a data directory's server, according to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverySettings {
    /// The mode.
    pub mode: RecoveryMode,
    /// Whether it also streams from another server (`primary_conninfo`); never in warm mode.
    pub streams: bool,
    /// Whether it follows a newer timeline without a restart (`recovery_target_timeline = 'latest'`); never in
    /// warm mode, in which the server looks for timelines only when it starts.
    pub follows_latest: bool,
}

impl RecoverySettings {
    const WARM: RecoverySettings =
        RecoverySettings { mode: RecoveryMode::Warm, streams: false, follows_latest: false };
}

/// Reads the recovery settings of a data directory. In warm mode no configuration file is read. Invalid lines
/// are ignored.
///
/// # Errors
/// If `PG_VERSION` can't be read, or a file that decides the mode can't be looked for.
pub fn recovery_settings(data_directory: &Path) -> Result<RecoverySettings, IdentityError> {
    // In a directory without PG_VERSION no server would read a recovery.conf.
    match major_version(data_directory)? {
        Some(major) if !major.has_recovery_signal() => {
            let file = data_directory.join("recovery.conf");
            if !exists(&file)? {
                return Ok(RecoverySettings::WARM);
            }
            let mut standby_mode = false;
            // Before 12 the default timeline is pg_control's, not the latest.
            let mut found = Found { streams: false, follows_latest: false };
            each_setting(&file, &mut |name, value| {
                if name == "standby_mode" {
                    standby_mode = is_true(value);
                }
                found.set(name, value);
            });
            Ok(if standby_mode { found.in_standby_mode() } else { RecoverySettings::WARM })
        }
        _ if !exists(&data_directory.join("standby.signal"))? => Ok(RecoverySettings::WARM),
        _ => {
            let command_line = CommandLine::of(data_directory);
            let mut found = Found { streams: false, follows_latest: true };
            let mut set = |name: &str, value: &str| found.set(name, value);
            each_setting(&command_line.configuration(data_directory), &mut set);
            each_setting(&data_directory.join("postgresql.auto.conf"), &mut set);
            command_line.settings.iter().for_each(|(name, value)| set(name, value));
            Ok(found.in_standby_mode())
        }
    }
}

/// The settings read so far.
struct Found {
    streams: bool,
    follows_latest: bool,
}

impl Found {
    fn set(&mut self, name: &str, value: &str) {
        match name {
            "primary_conninfo" => self.streams = !value.is_empty(),
            "recovery_target_timeline" => self.follows_latest = value == "latest",
            _ => {}
        }
    }

    fn in_standby_mode(self) -> RecoverySettings {
        let Found { streams, follows_latest } = self;
        RecoverySettings { mode: RecoveryMode::Standby, streams, follows_latest }
    }
}

/// Whether PostgreSQL reads this as true: in any case, or as an unambiguous prefix.
pub(crate) fn is_true(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    let shortened = |word: &str| !value.is_empty() && word.starts_with(&value);
    shortened("true") || shortened("yes") || value == "on" || value == "1"
}

fn exists(file: &Path) -> Result<bool, FileError> {
    let found = if_exists(fs::metadata(file)).map_err(FileError::of("look for", file))?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cluster(tempfile::TempDir);

    impl Cluster {
        fn of(major: &str) -> Cluster {
            let cluster = Cluster(tempfile::tempdir().unwrap());
            cluster.write("PG_VERSION", major);
            cluster
        }

        fn write(&self, name: &str, text: &str) -> &Cluster {
            fs::write(self.0.path().join(name), text).unwrap();
            self
        }

        fn settings(&self) -> RecoverySettings {
            recovery_settings(self.0.path()).unwrap()
        }
    }

    fn standby(streams: bool, follows_latest: bool) -> RecoverySettings {
        RecoverySettings { mode: RecoveryMode::Standby, streams, follows_latest }
    }

    #[test]
    fn before_12_recovery_conf_decides() {
        for major in ["9.0", "9.1", "11"] {
            let cluster = Cluster::of(major);
            assert_eq!(cluster.settings(), RecoverySettings::WARM);
            cluster.write("standby.signal", "");
            assert_eq!(cluster.settings(), RecoverySettings::WARM, "{major} does not read it");
            let with = |text: &str| cluster.write("recovery.conf", text).settings();
            for on in ["on", "ON", "true", "t", "Tru", "yes", "y", "1"] {
                assert_eq!(with(&format!("standby_mode = '{on}'\n")), standby(false, false));
            }
            for off in ["off", "o", "false", "0", "", "onn", "truee"] {
                assert_eq!(with(&format!("standby_mode = '{off}'\n")), RecoverySettings::WARM);
            }
            let all = "recovery_target_timeline = 'latest'\nnot a setting\n\
                       primary_conninfo = 'host=a'\n";
            assert_eq!(with(&format!("{all}standby_mode = on\n")), standby(true, true));
            assert_eq!(with(all), RecoverySettings::WARM);
            assert_eq!(with("standby_mode = on\nstandby_mode = off"), RecoverySettings::WARM);
        }
    }

    #[test]
    fn from_12_on_standby_signal_decides() {
        for major in ["12", "15", "18"] {
            let cluster = Cluster::of(major);
            cluster.write("recovery.conf", "standby_mode = on\n").write("recovery.signal", "");
            cluster.write("postgresql.conf", "primary_conninfo = 'host=a'\n");
            assert_eq!(cluster.settings(), RecoverySettings::WARM);
            cluster.write("standby.signal", "");
            assert_eq!(cluster.settings(), standby(true, true));
        }
    }

    #[test]
    fn the_last_value_is_in_force() {
        let cluster = Cluster::of("15");
        cluster.write("standby.signal", "");
        assert_eq!(cluster.settings(), standby(false, true));
        cluster.write("more.conf", "recovery_target_timeline = current\nprimary_conninfo = 'x'\n");
        cluster.write("postgresql.conf", "include 'more.conf'\nhalf a line'\n");
        assert_eq!(cluster.settings(), standby(true, false));
        cluster.write("postgresql.auto.conf", "primary_conninfo = ''\n");
        assert_eq!(cluster.settings(), standby(false, false));
        let line =
            r#"/pg/postgres "-c" "primary_conninfo=host=a" "--recovery-target-timeline=latest""#;
        cluster.write("postmaster.opts", line);
        assert_eq!(cluster.settings(), standby(true, true));
    }

    #[test]
    fn a_configuration_outside_the_data_directory_is_read() {
        let etc = tempfile::tempdir().unwrap();
        let conf = etc.path().join("postgresql.conf");
        fs::write(&conf, "primary_conninfo = 'host=a'\n").unwrap();
        let cluster = Cluster::of("15");
        cluster.write("standby.signal", "").write("postgresql.conf", "");
        assert_eq!(cluster.settings(), standby(false, true));
        let line = format!(
            "/pg/postgres \"-D\" \"{}\" \"-c\" \"config_file={}\"\n",
            cluster.0.path().display(),
            conf.display()
        );
        cluster.write("postmaster.opts", &line);
        assert_eq!(cluster.settings(), standby(true, true));
    }
}
