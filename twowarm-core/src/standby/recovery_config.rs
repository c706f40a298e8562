use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{inherited_recovery, retry_settings};
use crate::data_directory::{
    ConfigFileError, RecoveryMode, each_setting, is_true, missing_program, read_line,
    read_settings, server_configuration, setting_line,
};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::version::PgMajor;

/// Where the recovery settings of a standby come from, for a server of any version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverySource {
    /// A file in the format of `recovery.conf`, for every version of the server. It need not exist.
    pub file: PathBuf,
    /// The recovery mode; if there is none, `standby_mode` in the file decides, else the version.
    pub mode: Option<RecoveryMode>,
    /// The restore_command, unless the file sets one. It must begin with `exec`: a shell that fails to fork
    /// exits 2, which ends recovery in warm mode.
    pub restore_command: String,
}

impl RecoverySource {
    /// The settings for a server of this version.
    ///
    /// # Errors
    /// If the file can't be read, or is not valid for the version; see [`RecoveryConfig::parse`].
    pub fn read(&self, major: PgMajor) -> Result<RecoveryConfig, RecoveryConfigError> {
        RecoveryConfig::parse(&read_if_exists(&self.file)?, self, major)
    }
}

/// The recovery settings of a standby: its mode, `restore_command` and what else its `recovery.conf` sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryConfig {
    major: PgMajor,
    mode: RecoveryMode,
    settings: Vec<(String, String)>,
    /// The file as the user wrote it, for servers that read a recovery.conf.
    text: String,
}

/// Why `recovery.conf` can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryConfigError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not a setting.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        error: ConfigFileError,
    },
    /// The version does not have this setting. Its server would not start, or, before 12, stop when it reads
    /// the file.
    #[error("{}: line {line}: unrecognized recovery parameter \"{name}\" for PostgreSQL {major}. HINT: remove the line", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The setting.
        name: String,
        /// The version.
        major: PgMajor,
    },
    /// The file and the mode setting contradict each other.
    #[error("{}: line {line}: standby_mode = '{value}' conflicts with mode = \"{mode}\" in 2warm.toml. HINT: remove one of the two", path.display())]
    TwoModes {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The value of standby_mode.
        value: String,
        /// The mode setting.
        mode: RecoveryMode,
    },
    /// The mode setting asks for standby mode, which this version does not have, or in which it cannot be promoted.
    #[error(
        "mode = \"standby\" in 2warm.toml requires PostgreSQL 9.1 or later: a standby of PostgreSQL {0} in standby mode can neither be promoted by triggerStandby nor follow a new timeline. HINT: set mode = \"warm\", or remove the setting"
    )]
    NoStandbyMode(PgMajor),
}

impl RecoveryConfig {
    /// Parses the text of the source's file. What it does not set has the source's or the version's default.
    ///
    /// # Errors
    /// If a line is not a setting, or sets what this version does not have, and if the modes that the file
    /// and the source name differ or are not possible.
    pub fn parse(
        text: &str,
        source: &RecoverySource,
        major: PgMajor,
    ) -> Result<RecoveryConfig, RecoveryConfigError> {
        let (path, mode) = (&source.file, source.mode);
        if mode == Some(RecoveryMode::Standby) && !major.has_standby_mode_promotion() {
            return Err(RecoveryConfigError::NoStandbyMode(major));
        }
        let syntax = |error| RecoveryConfigError::Syntax { path: path.into(), error };
        let (mut settings, mut own_mode) = (Vec::new(), None);
        for (line, name, value) in read_settings(text).map_err(syntax)? {
            if !major.has_recovery_setting(&name) {
                return Err(RecoveryConfigError::Unknown { path: path.into(), line, name, major });
            }
            if name == "standby_mode" {
                own_mode = Some((line, mode_of(&value), value.clone()));
            }
            settings.retain(|(earlier, _)| *earlier != name);
            settings.push((name, value));
        }
        if let (Some(mode), Some((line, own, value))) = (mode, &own_mode)
            && mode != *own
        {
            let (path, value) = (path.into(), value.clone());
            return Err(RecoveryConfigError::TwoModes { path, line: *line, value, mode });
        }
        let mut config =
            RecoveryConfig { major, mode: RecoveryMode::Warm, settings, text: text.into() };
        config.set_default("restore_command", &source.restore_command);
        let chosen = own_mode.map(|(_, own, _)| own).or(mode);
        config.mode = chosen.unwrap_or_else(|| config.default_mode());
        config.set_defaults_of_mode();
        Ok(config)
    }

    fn set_defaults_of_mode(&mut self) {
        let is_standby = self.mode == RecoveryMode::Standby;
        let in_file = !self.major.has_recovery_signal();
        if is_standby && in_file {
            self.set_default("standby_mode", "on");
        }
        // 'latest' is the default from 12 on. Without it no standby follows the promotion of another one; in
        // warm mode not even after a restart.
        let wants_latest =
            if is_standby { self.major.has_standby_mode_promotion() } else { in_file };
        if wants_latest {
            self.set_default("recovery_target_timeline", "latest");
        }
    }

    fn set_default(&mut self, name: &str, value: &str) {
        if self.value(name).is_some() {
            return;
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(&setting_line(name, value));
        self.settings.push((name.into(), value.into()));
    }

    /// pg_standby is made for warm mode: it waits without end, and its trigger ends archive recovery only.
    fn default_mode(&self) -> RecoveryMode {
        if self.major.has_standby_mode_promotion() && !self.restore_command().contains("pg_standby")
        {
            RecoveryMode::Standby
        } else {
            RecoveryMode::Warm
        }
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// The recovery mode.
    #[must_use]
    pub fn mode(&self) -> RecoveryMode {
        self.mode
    }

    /// The restore_command.
    #[must_use]
    pub fn restore_command(&self) -> &str {
        self.value("restore_command").unwrap_or_default()
    }

    /// A warning, for the user, about a restore_command that the shell does not `exec`; `None` if it does.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let command = self.restore_command();
        if command.trim_start().starts_with("exec ") {
            return None;
        }
        let hint = if is_one_program(command) {
            let line = setting_line("restore_command", &format!("exec {}", command.trim_start()));
            format!("write {}", line.trim_end())
        } else {
            "move the commands to a script, and write restore_command = 'exec SCRIPT %f %p %r'"
                .to_owned()
        };
        Some(format!(
            "WARNING: the restore_command in recovery.conf does not begin with exec. If the shell cannot fork, it exits 2, which a server in warm mode takes as the end of WAL and opens. HINT: {hint}"
        ))
    }

    /// A warning, for the user, about a restore_command that a server in this data directory can't start.
    pub(crate) fn missing_program(&self, data_directory: &Path) -> Option<String> {
        let path = missing_program(data_directory, self.restore_command())?;
        Some(format!(
            "the server cannot start its restore_command, since there is no file \"{}\". HINT: the directory 2warm, or a symbolic link to it, must be beside the data directory",
            path.display()
        ))
    }

    /// `postgresql.auto.conf` with these settings in place of earlier ones of the same names, and with the
    /// recovery settings that came from the source's configuration reset: a standby that inherits a recovery
    /// target promotes itself. `configuration` is the postgresql.conf that the server reads. Before 12 only the
    /// settings that do not belong into recovery.conf are written.
    #[must_use]
    pub fn in_auto_conf(&self, before: &str, configuration: &Path) -> String {
        let all_there = self.major.has_recovery_signal();
        let is_replaced = |name: &str| {
            all_there && (self.value(name).is_some() || inherited_recovery::is_reset(name))
        };
        let mut in_force = BTreeMap::new();
        each_setting(configuration, &mut |name, value| {
            in_force.insert(name.to_owned(), value.to_owned());
        });
        let mut text = String::new();
        for line in before.lines() {
            match read_line(line) {
                Ok(Some((name, value)))
                    if is_replaced(&name) || retry_settings::is_ours(&name, &value) =>
                {
                    continue;
                }
                Ok(Some((name, value))) => _ = in_force.insert(name, value),
                // A line that the server can't read either is kept.
                _ => {}
            }
            text.push_str(line);
            text.push('\n');
        }
        if all_there {
            text.push_str(&inherited_recovery::reset(&self.settings, self.major, configuration));
            self.settings
                .iter()
                .for_each(|(name, value)| text.push_str(&setting_line(name, value)));
        }
        in_force.extend(self.settings.iter().cloned());
        text + &retry_settings::lines(self.major, self.mode, |name| in_force.get(name).cloned())
    }

    /// Writes the settings into the data directory; a second call changes nothing. The file that makes the
    /// server a standby is written first: with the settings alone it would open as a primary.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn apply(&self, data_directory: &Path) -> Result<(), FileError> {
        let file = |name: &str| data_directory.join(name);
        let has_signal = self.major.has_recovery_signal();
        let (signal, other) = match self.mode {
            RecoveryMode::Standby => ("standby.signal", "recovery.signal"),
            RecoveryMode::Warm => ("recovery.signal", "standby.signal"),
        };
        if has_signal {
            durable::write(&file(signal), b"")?;
        } else {
            durable::write(&file("recovery.conf"), self.text.as_bytes())?;
        }
        let auto_conf = file("postgresql.auto.conf");
        let before = read_if_exists(&auto_conf)?;
        let configuration = server_configuration(data_directory);
        let configuration = configuration.unwrap_or_else(|| file("postgresql.conf"));
        let after = self.in_auto_conf(&before, &configuration);
        if after != before {
            durable::write(&auto_conf, after.as_bytes())?;
        }
        if has_signal {
            // A server from 12 on does not start if it exists.
            durable::remove(&file("recovery.conf"))?;
            durable::remove(&file(other))?;
        }
        Ok(())
    }
}

fn read_if_exists(path: &Path) -> Result<String, FileError> {
    let read = if_exists(fs::read_to_string(path)).map_err(FileError::of("read", path));
    Ok(read?.unwrap_or_default())
}

fn mode_of(standby_mode: &str) -> RecoveryMode {
    if is_true(standby_mode) { RecoveryMode::Standby } else { RecoveryMode::Warm }
}

/// Whether a shell would run one program and do nothing else, so that it may `exec` it.
fn is_one_program(command: &str) -> bool {
    let command = command.replace(">&", ">");
    let first = command.split_whitespace().next().unwrap_or_default();
    let is_syntax = ["if", "case", "for", "while", "until", "cd", ".", "!", "{"].contains(&first);
    !(is_syntax || first.contains('=') || command.contains([';', '&', '|', '(', '`', '\n']))
}

#[cfg(test)]
mod tests;
