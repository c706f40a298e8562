//! `local/2warm.toml`: what a node may configure beyond 2warm's own files. Every key has a default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::data_directory::RecoveryMode;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `time_limit`, in seconds: a network step without progress for so long has failed. 30.
    #[serde(deserialize_with = "seconds")]
    pub time_limit: Duration,
    /// `mode`: what configStandby and copyToStandby make this node when it becomes a standby, `"standby"`
    /// or `"warm"`. Standby from PostgreSQL 9.1 on, but for pg_standby; before that warm, the only one there.
    pub mode: Option<RecoveryMode>,
    /// `[server]`
    pub server: ServerSettings,
    /// `[archive]`
    pub archive: ArchiveSettings,
    /// `[restore]`
    pub restore: RestoreSettings,
    /// `[node.NAME]`: how to reach another node; NAME is what `othernode` or `drnode` says.
    pub node: BTreeMap<String, NodeSettings>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            time_limit: Duration::from_secs(30),
            mode: None,
            server: ServerSettings::default(),
            archive: ArchiveSettings::default(),
            restore: RestoreSettings::default(),
            node: BTreeMap::new(),
        }
    }
}

/// `[server]`: this node's PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Where `postgres` and `pg_ctl` are; else they are looked for on PATH.
    pub bindir: Option<PathBuf>,
    /// `connect_limit`, in seconds: triggerStandby stops waiting when every try to connect to the server has
    /// failed for so long. 30.
    #[serde(deserialize_with = "seconds")]
    pub connect_limit: Duration,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings { bindir: None, connect_limit: Duration::from_secs(30) }
    }
}

/// `[archive]`: this node's archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSettings {
    /// The directory; else `$PGDATA/archive`.
    pub directory: Option<PathBuf>,
    /// How many segments to keep behind the one restored where the server gives no restart point
    /// (8.2); 0 keeps all.
    pub keep: u32,
    /// Take WAL from the archive's sender on whatever machine it runs: for a cluster that fails over on
    /// shared disks. Else the same node on another machine counts as a copy of it, and is refused.
    pub any_machine: bool,
    /// Ship a damaged segment too, instead of holding up archiving until it is mended.
    pub ship_damaged: bool,
}

/// `[restore]`: what restoreWALFile may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreSettings {
    /// `wait_limit`, in seconds: in standby mode restoreWALFile answers "not yet" after so long, so that the
    /// server reads its configuration and asks again. 60.
    #[serde(deserialize_with = "seconds")]
    pub wait_limit: Duration,
    /// Stop the server (exit 200) when a newer timeline that it could follow has arrived, because a
    /// supervisor starts it again and only a start makes it look for timelines.
    pub restart_for_timeline: bool,
}

impl Default for RestoreSettings {
    fn default() -> RestoreSettings {
        RestoreSettings { wait_limit: Duration::from_secs(60), restart_for_timeline: false }
    }
}

/// `[node.NAME]`: how to reach another node. What is not set comes from the user's ssh configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Address or host name to connect to.
    pub host: Option<String>,
    /// ssh port.
    pub port: Option<u16>,
    /// User to log in as.
    pub user: Option<String>,
    /// Private key file for shipping WAL.
    pub key: Option<PathBuf>,
    /// Private key file for the base copy, which needs more than a pinned key may do; else `key`.
    pub copy_key: Option<PathBuf>,
    /// File of known host keys.
    pub known_hosts: Option<PathBuf>,
    /// PGROOT on that node; else the same as here.
    pub pgroot: Option<PathBuf>,
    /// `[node.NAME.tablespaces]`: where a tablespace's directory here goes on that node, for nodes
    /// that share a machine or have other disks.
    pub tablespaces: BTreeMap<PathBuf, PathBuf>,
}

/// What is wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SettingsError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there, in one line.
    pub message: String,
}

impl Settings {
    /// Reads the file's text. Unknown keys and wrong types are errors that name the line.
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count() + 1;
            let message = e.message().lines().collect::<Vec<_>>().join(" ");
            SettingsError { line, message }
        })
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(serde::de::Error::custom("a time must be at least 1 second")),
        n => Ok(Duration::from_secs(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Settings::parse("time_limit = 5\n[node.db2]\nhots = \"x\"\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.message.contains("hots"), "{error}");
    }

    #[test]
    fn a_mode_is_one_of_two_words() {
        let mode = |text: &str| Settings::parse(text).map(|settings| settings.mode);
        assert_eq!(mode("mode = \"standby\""), Ok(Some(RecoveryMode::Standby)));
        assert_eq!(mode("mode = \"warm\""), Ok(Some(RecoveryMode::Warm)));
        let error = mode("time_limit = 5\nmode = \"hot\"").unwrap_err().to_string();
        for part in ["line 2", "hot", "`standby`", "`warm`"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_time_limit_of_zero_is_refused() {
        assert!(Settings::parse("time_limit = 0").is_err());
    }
}
