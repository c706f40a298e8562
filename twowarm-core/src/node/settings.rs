//! `local/2warm.toml`: optional settings of a node. Every key has a default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::data_directory::RecoveryMode;
use crate::identifiers::NodeName;
use crate::prune::Keep;
use crate::reach::Carrier;

/// The content of `local/2warm.toml`.
///
/// ```
/// use std::time::Duration;
/// use twowarm_core::node::Settings;
///
/// let settings = Settings::parse("time_limit = 10\n[node.db2]\nport = 2222\n")?;
/// assert_eq!(settings.time_limit, Duration::from_secs(10));
/// assert_eq!(settings.node["db2"].port, Some(2222));
/// assert_eq!(settings.restore.wait_limit, Duration::from_secs(60), "the default");
/// assert_eq!(Settings::parse("time_limt = 10").unwrap_err().line, 1);
/// # Ok::<(), twowarm_core::node::SettingsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// `time_limit`, in seconds: a network operation without progress for this time has failed. Default 30.
    #[serde(deserialize_with = "seconds")]
    pub time_limit: Duration,
    /// `mode`: how this node replays when it is a standby, `"standby"` or `"warm"`. Default: standby mode from
    /// PostgreSQL 9.1 on, except with pg_standby; warm mode before 9.1.
    #[serde(deserialize_with = "mode")]
    pub mode: Option<RecoveryMode>,
    /// `[server]`
    pub server: ServerSettings,
    /// `[archive]`
    pub archive: ArchiveSettings,
    /// `[restore]`
    pub restore: RestoreSettings,
    /// `[node.NAME]`: how to reach another node; NAME is its name in `othernode` or `drnode`.
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

/// `[server]`: the PostgreSQL server of this node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ServerSettings {
    /// The directory of `postgres` and `pg_ctl`. Default: PATH is searched.
    pub bindir: Option<PathBuf>,
    /// `connect_limit`, in seconds: triggerStandby stops waiting if all attempts to connect to the server have
    /// failed for this time. Default 30.
    #[serde(deserialize_with = "seconds")]
    pub connect_limit: Duration,
    /// `stop_limit`, in seconds: how long flushPrimary waits for the server to shut down. Default 300.
    #[serde(deserialize_with = "seconds")]
    pub stop_limit: Duration,
    /// `start_command`: the program that starts the server, and its arguments, such as
    /// `["sudo", "systemctl", "start", "postgresql"]`. Default: commands only say that it is to be started.
    pub start_command: Vec<String>,
    /// `save_logs`: the directory on the standby into which flushPrimary copies the server's log files, as the
    /// original did. Default: they are not copied.
    pub save_logs: Option<PathBuf>,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            bindir: None,
            connect_limit: Duration::from_secs(30),
            stop_limit: Duration::from_secs(300),
            start_command: Vec::new(),
            save_logs: None,
        }
    }
}

/// `[archive]`: the archive of this node, and how it ships WAL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ArchiveSettings {
    /// The directory. Default `$PGDATA/archive`.
    pub directory: Option<PathBuf>,
    /// The number of segments to keep before the restored one if the server does not report a restart point
    /// (8.2). Default 0, which keeps all.
    pub keep: u32,
    /// Accept WAL from the archive's sender on any machine, for a cluster that fails over on shared disks.
    /// Without it the same node on another machine is refused, because it may be a copy.
    pub any_machine: bool,
    /// Ship damaged segments, instead of stopping archiving until they are repaired.
    pub ship_damaged: bool,
    /// `verify`: what archiveWALFile checks in a segment before it sends it. Default `"records"`.
    pub verify: Verify,
    /// `look_ahead`: how many segments of a backlog may be shipped before the server asks for them. 0 ships each
    /// only when the server asks for it. Default 64.
    pub look_ahead: u32,
    /// `look_ahead_limit`, in seconds: how long a process that ships ahead may run. Default 60.
    #[serde(deserialize_with = "seconds")]
    pub look_ahead_limit: Duration,
    /// `compression_level`: zstd's level, from -7 (fastest) to 19; 0 sends WAL uncompressed. Default -1.
    #[serde(deserialize_with = "level")]
    pub compression_level: i32,
    /// `when_standby_down`: what archiveWALFile does while the standby can't be reached. Default: relay if there is
    /// a DR node, otherwise hold.
    pub when_standby_down: Option<WhenStandbyDown>,
    /// `max_relay_backlog`: how many segments are kept for another consumer of the archive, such as the DR node,
    /// that does not fetch them. Default: no limit.
    pub max_relay_backlog: Option<u64>,
    /// `keep_days`: segments of this many days are kept for point-in-time recovery, although the standby does not need
    /// them any more. In an archive without a standby, older ones are removed.
    pub keep_days: Option<u32>,
    /// `keep_segments`: the same by the number of segments before the newest one.
    pub keep_segments: Option<u64>,
    /// `keep_since_copy`: the segments since the base copy of the data directory are kept.
    pub keep_since_copy: bool,
}

impl Default for ArchiveSettings {
    fn default() -> ArchiveSettings {
        ArchiveSettings {
            directory: None,
            keep: 0,
            any_machine: false,
            ship_damaged: false,
            verify: Verify::Records,
            look_ahead: 64,
            look_ahead_limit: Duration::from_secs(60),
            compression_level: -1,
            when_standby_down: None,
            max_relay_backlog: None,
            keep_days: None,
            keep_segments: None,
            keep_since_copy: false,
        }
    }
}

impl ArchiveSettings {
    /// What is kept for point-in-time recovery.
    #[must_use]
    pub fn retain(&self) -> Keep {
        Keep {
            days: self.keep_days,
            segments: self.keep_segments,
            since_copy: self.keep_since_copy,
        }
    }
}

/// What is checked in a segment before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The header of its first page, and each record with its checksum.
    Records,
    /// The header of its first page.
    Header,
}

/// What archiveWALFile does while the standby can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenStandbyDown {
    /// It sends to the DR node, from which the standby fetches later.
    Relay,
    /// It fails, so that the server keeps the WAL and tries again.
    Hold,
}

/// `[restore]`: the behavior of restoreWALFile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RestoreSettings {
    /// `wait_limit`, in seconds: in standby mode restoreWALFile answers "not yet" after this time, so that the
    /// server reloads its configuration and tries again. Default 60.
    #[serde(deserialize_with = "seconds")]
    pub wait_limit: Duration,
    /// In warm mode, stop the server (exit code 200) when a newer timeline that it can follow arrives. A
    /// supervisor must start it again; only then does it look for timelines.
    pub restart_for_timeline: bool,
    /// `restore_from`: nodes from whose archives a standby fetches what its own lacks. Default: the DR node.
    #[serde(deserialize_with = "nodes")]
    pub restore_from: Option<Vec<NodeName>>,
}

impl Default for RestoreSettings {
    fn default() -> RestoreSettings {
        RestoreSettings {
            wait_limit: Duration::from_secs(60),
            restart_for_timeline: false,
            restore_from: None,
        }
    }
}

/// `[node.NAME]`: how to reach another node. Defaults come from the ssh configuration of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct NodeSettings {
    /// The address or host name to connect to.
    pub host: Option<String>,
    /// The port of sshd.
    pub port: Option<u16>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The private key file for shipping WAL.
    pub key: Option<PathBuf>,
    /// The private key file for base copies, which a key restricted to receiveWALFile can't be used for. Default
    /// `key`.
    pub copy_key: Option<PathBuf>,
    /// The private key file for fetching WAL with sendWALFile, which a key restricted to receiveWALFile can't be
    /// used for. Default `key`.
    pub fetch_key: Option<PathBuf>,
    /// `carrier`: how WAL gets to that node. Default `"ssh2"`.
    pub carrier: Carrier,
    /// The archive directory of that node: for `local` as it is mounted on this node, for `rsync` its path there.
    pub archive: Option<PathBuf>,
    /// How many connections ship a backlog at the same time. Default: as many as the line's delay calls for.
    #[serde(deserialize_with = "channels")]
    pub channels: Option<u32>,
    /// `rate_limit`, in bytes per second, for WAL to that node; base copies use half of it. Default: no limit.
    pub rate_limit: Option<u64>,
    /// The file of known host keys.
    pub known_hosts: Option<PathBuf>,
    /// PGROOT on that node. Default: the same as on this node.
    pub pgroot: Option<PathBuf>,
    /// `[node.NAME.tablespaces]`: the directories on that node for tablespaces of this node, if they differ.
    pub tablespaces: BTreeMap<PathBuf, PathBuf>,
}

/// What is wrong in `2warm.toml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} ({text}): {message}")]
pub struct SettingsError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The text of the line.
    pub text: String,
    /// What is wrong in it, as one line of text.
    pub message: String,
}

impl Settings {
    /// Parses the text of the file.
    ///
    /// # Errors
    /// If it is not TOML, or has an unknown key or an invalid value.
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count() + 1;
            let content = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
            let message = e.message().lines().collect::<Vec<_>>().join(" ");
            SettingsError { line, text: content, message: in_terms_of_toml(message) }
        })
    }
}

/// The parser's message without the names of Rust's types.
fn in_terms_of_toml(message: String) -> String {
    const TERMS: [(&str, &str); 7] = [
        ("unknown field", "unknown key"),
        ("unknown variant", "invalid value"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number, not negative"),
        ("expected u64", "expected a whole number, not negative"),
        ("expected i32", "expected a whole number"),
        ("expected a sequence", "expected a list, such as [\"db3\"]"),
    ];
    TERMS.iter().fold(message, |message, (from, to)| message.replace(from, to))
}

fn mode<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<RecoveryMode>, D::Error> {
    let word = String::deserialize(from)?;
    let modes = [RecoveryMode::Standby, RecoveryMode::Warm];
    let found = modes.into_iter().find(|mode| mode.to_string() == word);
    let unknown = || serde::de::Error::unknown_variant(&word, &["standby", "warm"]);
    found.map(Some).ok_or_else(unknown)
}

fn nodes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<NodeName>>, D::Error> {
    let node = |name: String| name.parse().map_err(serde::de::Error::custom);
    Vec::<String>::deserialize(from)?.into_iter().map(node).collect::<Result<_, _>>().map(Some)
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(serde::de::Error::custom("must be at least 1 second")),
        n => Ok(Duration::from_secs(n)),
    }
}

fn level<'de, D: serde::Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    match i32::deserialize(from)? {
        level @ -7..=19 => Ok(level),
        _ => Err(serde::de::Error::custom("must be from -7 to 19")),
    }
}

fn channels<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    match u32::deserialize(from)? {
        channels @ 1..=32 => Ok(Some(channels)),
        _ => Err(serde::de::Error::custom("must be from 1 to 32")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_all_defaults() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn the_error_for_an_unknown_key_names_it_and_its_line() {
        let error = Settings::parse("time_limit = 5\n[node.db2]\nhots = \"x\"\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.message.contains("hots"), "{error}");
    }

    #[test]
    fn an_error_shows_the_line_and_no_type_of_rust() {
        for (line, words) in [
            ("time_limit = -1", "expected a whole number, not negative"),
            ("time_limit = 0", "must be at least 1 second"),
            ("mode = \"hot\"", "invalid value `hot`"),
            ("colour = 1", "unknown key `colour`"),
            ("archive.compression_level = \"fast\"", "expected a whole number"),
            ("restore.restore_from = \"db3\"", "expected a list"),
            ("node.db2.port = 65536", "expected a whole number from 0 to 65535"),
        ] {
            let error = Settings::parse(&format!("\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 2 ({line}): ")), "{error}");
            assert!(error.contains(words), "{error}");
        }
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
    fn a_compression_level_has_limits() {
        let level =
            |level: &str| Settings::parse(&format!("[archive]\ncompression_level = {level}"));
        assert_eq!(level("19").unwrap().archive.compression_level, 19);
        assert_eq!(level("-7").unwrap().archive.compression_level, -7);
        assert_eq!(level("20").unwrap_err().line, 2);
        assert!(level("-8").is_err());
    }

    #[test]
    fn a_time_limit_of_zero_is_refused() {
        assert!(Settings::parse("time_limit = 0").is_err());
        for (channels, valid) in [(0, false), (1, true), (32, true), (33, false)] {
            let text = format!("[node.db2]\nchannels = {channels}\n");
            assert_eq!(Settings::parse(&text).is_ok(), valid, "{channels}");
        }
    }
}
