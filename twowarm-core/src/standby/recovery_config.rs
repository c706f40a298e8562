use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{inherited_recovery, tuning};
use crate::data_directory::{
    ConfigFileError, RecoveryMode, each_setting, is_true, read_line, read_settings, setting_line,
};
use crate::durable;
use crate::file_error::FileError;
use crate::node::Install;
use crate::version::PgMajor;

/// What makes a server a standby: its mode, `restore_command` and the settings that go with it.
///
/// They are the cluster's own in `2warm/global/recovery.conf`, as 2warm has it, else the default alone.
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
#[allow(missing_docs)]
pub enum RecoveryConfigError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {error}", path.display())]
    Syntax { path: PathBuf, error: ConfigFileError },
    #[error("{}: line {line}: PostgreSQL {major} has no recovery setting {name}: remove the line", path.display())]
    Unknown { path: PathBuf, line: usize, name: String, major: PgMajor },
    #[error("{}: line {line}: standby_mode is '{value}', but 2warm.toml says mode = \"{mode}\": remove one of the two", path.display())]
    TwoModes { path: PathBuf, line: usize, value: String, mode: RecoveryMode },
    #[error(
        "2warm.toml says mode = \"standby\", and a standby of PostgreSQL {0} in that mode could neither be promoted by us nor follow a new timeline (from 9.1 on it can): say mode = \"warm\", or nothing"
    )]
    NoStandbyMode(PgMajor),
}

impl RecoveryConfig {
    /// The restore_command where nothing else is configured, relative to the data directory. A shell
    /// that first forks, and can't, exits 2, which ends recovery in warm mode; so it is told to `exec`.
    /// Servers before 8.3 hand `%r` on as it stands, which restoreWALFile understands.
    pub const RESTORE_COMMAND: &str = "exec ../2warm/global/replication/restoreWALFile %f %p %r";

    /// This node's, for a server of this version.
    pub fn of(install: &Install, major: PgMajor) -> Result<RecoveryConfig, RecoveryConfigError> {
        let path = install.global().join("recovery.conf");
        RecoveryConfig::parse(&read_if_there(&path)?, &path, major, install.settings.mode)
    }

    /// Reads the file's text; what the version does not know is an error, because its server would not
    /// start, or before 12 stop when it reads the file. `mode` is what the node's settings say, if they do.
    pub fn parse(
        text: &str,
        path: &Path,
        major: PgMajor,
        mode: Option<RecoveryMode>,
    ) -> Result<RecoveryConfig, RecoveryConfigError> {
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
        let asked_for = own_mode.map(|(_, own, _)| own).or(mode);
        config.mode = asked_for.unwrap_or_else(|| config.default_mode());
        config.complete();
        Ok(config)
    }

    /// Adds what the file does not say.
    fn complete(&mut self) {
        let is_standby = self.mode == RecoveryMode::Standby;
        let in_file = !self.major.has_recovery_signal();
        // A recovery.conf has to ask for it: without it no standby follows another's promotion, in warm mode
        // not even when it is started again. From 12 on it is the default.
        let follows = if is_standby { self.major.has_standby_mode_promotion() } else { in_file };
        let wanted = [
            (true, "restore_command", Self::RESTORE_COMMAND),
            (is_standby && in_file, "standby_mode", "on"),
            (follows, "recovery_target_timeline", "latest"),
        ];
        for (_, name, value) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            if self.said(name).is_none() {
                if !self.text.is_empty() && !self.text.ends_with('\n') {
                    self.text.push('\n');
                }
                self.text.push_str(&setting_line(name, value));
                self.settings.push((name.into(), value.into()));
            }
        }
    }

    /// pg_standby is made for warm mode: it waits for ever, and its trigger only ends an archive recovery.
    fn default_mode(&self) -> RecoveryMode {
        let can = self.major.has_standby_mode_promotion();
        if can && !self.restore_command().contains("pg_standby") {
            RecoveryMode::Standby
        } else {
            RecoveryMode::Warm
        }
    }

    fn said(&self, wanted: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// How the server will replay.
    pub fn mode(&self) -> RecoveryMode {
        self.mode
    }

    /// The restore_command.
    pub fn restore_command(&self) -> &str {
        self.said("restore_command").unwrap_or(Self::RESTORE_COMMAND)
    }

    /// What is to be said of a restore_command that its shell runs as a child: a line, and what to write
    /// instead.
    pub fn warning(&self) -> Option<String> {
        let command = self.restore_command();
        if command.trim_start().starts_with("exec ") {
            return None;
        }
        let better = if is_one_program(command) {
            let line = setting_line("restore_command", &format!("exec {}", command.trim_start()));
            format!("write {}", line.trim_end())
        } else {
            "put it into a script, and write restore_command = 'exec SCRIPT %f %p %r'".to_owned()
        };
        Some(format!(
            "WARNING: the restore_command in recovery.conf does not begin with exec: a shell that can't fork exits 2, which a server in warm mode takes for the end of the WAL, and opens; {better}"
        ))
    }

    /// `postgresql.auto.conf` with these settings in place of earlier ones of the same names, and with
    /// what the source's configuration says of recovery put back: a standby that inherits a recovery
    /// target promotes itself. `configuration` is the data directory's postgresql.conf. Before 12 only
    /// what a recovery.conf does not know stands there.
    pub fn in_auto_conf(&self, before: &str, configuration: &Path) -> String {
        let all_there = self.major.has_recovery_signal();
        let replaced = |name: &str| {
            all_there && (self.said(name).is_some() || inherited_recovery::is_ours(name))
        };
        let mut in_force = BTreeMap::new();
        each_setting(configuration, &mut |name, value| {
            in_force.insert(name.to_owned(), value.to_owned());
        });
        let mut text = String::new();
        for line in before.lines() {
            match read_line(line) {
                Ok(Some((name, value))) if replaced(&name) || tuning::is_ours(&name, &value) => {
                    continue;
                }
                Ok(Some((name, value))) => _ = in_force.insert(name, value),
                // A line that the server can't read is not ours to judge.
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
        text + &tuning::lines(self.major, self.mode, |name| in_force.get(name).cloned())
    }

    /// Makes the data directory a standby's; the same again changes nothing. What makes the server a
    /// standby comes first: with the settings alone it would open as a primary.
    pub fn apply(&self, pgdata: &Path, major: PgMajor) -> Result<(), FileError> {
        let place = |name: &str| pgdata.join(name);
        let has_signal = major.has_recovery_signal();
        let (signal, other) = match self.mode {
            RecoveryMode::Standby => ("standby.signal", "recovery.signal"),
            RecoveryMode::Warm => ("recovery.signal", "standby.signal"),
        };
        if has_signal {
            durable::write(&place(signal), b"")?;
        } else {
            durable::write(&place("recovery.conf"), self.text.as_bytes())?;
        }
        let auto_conf = place("postgresql.auto.conf");
        let before = read_if_there(&auto_conf)?;
        let after = self.in_auto_conf(&before, &place("postgresql.conf"));
        if after != before {
            durable::write(&auto_conf, after.as_bytes())?;
        }
        if has_signal {
            // With it, servers from 12 on don't start.
            durable::remove(&place("recovery.conf"))?;
            durable::remove(&place(other))?;
        }
        Ok(())
    }
}

/// What `standby_mode` says.
fn mode_of(value: &str) -> RecoveryMode {
    if is_true(value) { RecoveryMode::Standby } else { RecoveryMode::Warm }
}

/// Whether a shell would run one program and do nothing else, so that it may `exec` it.
fn is_one_program(command: &str) -> bool {
    let command = command.replace(">&", ">");
    let first = command.split_whitespace().next().unwrap_or_default();
    let is_syntax = ["if", "case", "for", "while", "until", "cd", ".", "!", "{"].contains(&first);
    !(is_syntax || first.contains('=') || command.contains([';', '&', '|', '(', '`', '\n']))
}

fn read_if_there(path: &Path) -> Result<String, FileError> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(FileError::of("read", path)),
    }
}

#[cfg(test)]
mod tests;
