use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::configuration::{CommandLine, each_setting};
use super::{IdentityError, major_version};
use crate::file_error::FileError;

/// The two ways in which a server replays what restore_command brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryMode {
    /// `standby.signal`, before 12 `standby_mode = 'on'`: whatever restore_command answers, the server
    /// asks again, and between two questions it hears a promotion and looks for new timelines.
    Standby,
    /// Archive recovery: the first segment that restore_command does not bring ends it, and the server
    /// opens. The only way up to 8.4.
    Warm,
}

/// As 2warm.toml says it.
impl fmt::Display for RecoveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecoveryMode::Standby => "standby",
            RecoveryMode::Warm => "warm",
        })
    }
}

/// What a data directory's server is configured as, by its files alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverySettings {
    /// How it replays.
    pub mode: RecoveryMode,
    /// Whether it streams from another server as well (`primary_conninfo`); never in warm mode.
    pub streams: bool,
    /// Whether it goes over to a newer timeline while it runs (`recovery_target_timeline = 'latest'`);
    /// never in warm mode, where only a start looks for timelines.
    pub follows_latest: bool,
}

impl RecoverySettings {
    const WARM: RecoverySettings =
        RecoverySettings { mode: RecoveryMode::Warm, streams: false, follows_latest: false };
}

/// Reads them. In warm mode no configuration is looked at; lines that make no sense are left out.
pub fn recovery_settings(data_directory: &Path) -> Result<RecoverySettings, IdentityError> {
    // A directory that does not say its version has no recovery.conf that a server would read.
    match major_version(data_directory)? {
        Some(major) if !major.has_recovery_signal() => {
            let file = data_directory.join("recovery.conf");
            if !exists(&file)? {
                return Ok(RecoverySettings::WARM);
            }
            let mut standby_mode = false;
            // As pg_control says, not the latest.
            let mut said = Said { streams: false, follows_latest: false };
            each_setting(&file, &mut |name, value| {
                if name == "standby_mode" {
                    standby_mode = is_true(value);
                }
                said.hear(name, value);
            });
            Ok(if standby_mode { said.in_standby_mode() } else { RecoverySettings::WARM })
        }
        _ if !exists(&data_directory.join("standby.signal"))? => Ok(RecoverySettings::WARM),
        _ => {
            let command_line = CommandLine::of(data_directory);
            let mut said = Said { streams: false, follows_latest: true };
            let mut hear = |name: &str, value: &str| said.hear(name, value);
            each_setting(&command_line.configuration(data_directory), &mut hear);
            each_setting(&data_directory.join("postgresql.auto.conf"), &mut hear);
            command_line.settings.iter().for_each(|(name, value)| hear(name, value));
            Ok(said.in_standby_mode())
        }
    }
}

/// What has been read so far.
struct Said {
    streams: bool,
    follows_latest: bool,
}

impl Said {
    fn hear(&mut self, name: &str, value: &str) {
        match name {
            "primary_conninfo" => self.streams = !value.is_empty(),
            "recovery_target_timeline" => self.follows_latest = value == "latest",
            _ => {}
        }
    }

    fn in_standby_mode(self) -> RecoverySettings {
        let Said { streams, follows_latest } = self;
        RecoverySettings { mode: RecoveryMode::Standby, streams, follows_latest }
    }
}

/// How PostgreSQL reads a boolean: in any case, and shortened as far as it stays clear.
pub(crate) fn is_true(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    let shortened = |word: &str| !value.is_empty() && word.starts_with(&value);
    shortened("true") || shortened("yes") || value == "on" || value == "1"
}

fn exists(file: &Path) -> Result<bool, FileError> {
    match fs::metadata(file) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::of("look for", file)(e)),
    }
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
    fn before_12_recovery_conf_tells() {
        for major in ["9.0", "9.1", "11"] {
            let cluster = Cluster::of(major);
            assert_eq!(cluster.settings(), RecoverySettings::WARM);
            cluster.write("standby.signal", "");
            assert_eq!(cluster.settings(), RecoverySettings::WARM, "{major} does not know it");
            let with = |text: &str| cluster.write("recovery.conf", text).settings();
            for on in ["on", "ON", "true", "t", "Tru", "yes", "y", "1"] {
                assert_eq!(with(&format!("standby_mode = '{on}'\n")), standby(false, false));
            }
            for off in ["off", "o", "false", "0", "", "onn", "truee"] {
                assert_eq!(with(&format!("standby_mode = '{off}'\n")), RecoverySettings::WARM);
            }
            let all = "recovery_target_timeline = 'latest'\nwhat is this\n\
                       primary_conninfo = 'host=a'\n";
            assert_eq!(with(&format!("{all}standby_mode = on\n")), standby(true, true));
            assert_eq!(with(all), RecoverySettings::WARM);
            assert_eq!(with("standby_mode = on\nstandby_mode = off"), RecoverySettings::WARM);
        }
    }

    #[test]
    fn from_12_on_standby_signal_tells_and_wins() {
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
    fn the_last_word_on_streaming_and_timelines_counts() {
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
    fn a_debian_server_s_configuration_is_found() {
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
