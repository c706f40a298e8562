use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::inherited_recovery;
use crate::data_directory::{ConfigFileError, read_line, read_settings, setting_line};
use crate::durable;
use crate::file_error::FileError;
use crate::install::Install;
use crate::version::PgMajor;

/// What makes a server a warm standby: `restore_command` and the settings that go with it.
///
/// They are the cluster's own in `2warm/global/recovery.conf`, as 2warm has it, else the default alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryConfig {
    major: PgMajor,
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
}

impl RecoveryConfig {
    /// The restore_command where nothing else is configured, relative to the data directory. Servers
    /// before 8.3 hand `%r` on as it stands, which restoreWALFile understands.
    pub const RESTORE_COMMAND: &str = "../2warm/global/replication/restoreWALFile %f %p %r";

    /// This node's, for a server of this version.
    pub fn of(install: &Install, major: PgMajor) -> Result<RecoveryConfig, RecoveryConfigError> {
        let path = install.global().join("recovery.conf");
        match fs::read_to_string(&path) {
            Ok(text) => RecoveryConfig::parse(&text, &path, major),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                RecoveryConfig::parse("", &path, major)
            }
            Err(e) => Err(FileError::of("read", &path)(e).into()),
        }
    }

    /// Reads the file's text; what the version does not know is an error, because its server would not
    /// start, or before 12 stop when it reads the file.
    pub fn parse(
        text: &str,
        path: &Path,
        major: PgMajor,
    ) -> Result<RecoveryConfig, RecoveryConfigError> {
        let syntax = |error| RecoveryConfigError::Syntax { path: path.into(), error };
        let mut settings = Vec::new();
        for (line, name, value) in read_settings(text).map_err(syntax)? {
            if !major.has_recovery_setting(&name) {
                return Err(RecoveryConfigError::Unknown { path: path.into(), line, name, major });
            }
            settings.retain(|(earlier, _)| *earlier != name);
            settings.push((name, value));
        }
        let is_set = |wanted: &str| settings.iter().any(|(name, _)| name == wanted);
        let reads_ahead = major.reads_ahead_in_recovery() && !is_set("recovery_prefetch");
        let mut text = text.to_owned();
        if !is_set("restore_command") {
            let default = Self::RESTORE_COMMAND.to_owned();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&setting_line("restore_command", &default));
            settings.insert(0, ("restore_command".into(), default));
        }
        if reads_ahead {
            // So that what has arrived is replayed at once.
            settings.push(("recovery_prefetch".into(), "off".into()));
        }
        Ok(RecoveryConfig { major, settings, text })
    }

    /// The restore_command.
    pub fn restore_command(&self) -> &str {
        let found = self.settings.iter().find(|(name, _)| name == "restore_command");
        found.map_or(Self::RESTORE_COMMAND, |(_, value)| value)
    }

    /// `postgresql.auto.conf` with these settings in place of earlier ones of the same names, and with
    /// what the source's configuration says of recovery put back: a standby that inherits a recovery
    /// target promotes itself. `configuration` is the data directory's postgresql.conf.
    pub fn in_auto_conf(&self, before: &str, configuration: &Path) -> String {
        let is_set = |wanted: &str| self.settings.iter().any(|(name, _)| name == wanted);
        let ours = |line: &&str| match read_line(line) {
            Ok(Some((name, _))) => is_set(&name) || inherited_recovery::is_ours(&name),
            // A line that the server can't read is not ours to judge.
            _ => false,
        };
        let mut text = String::new();
        before.lines().filter(|line| !ours(line)).for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        text.push_str(&inherited_recovery::reset(&self.settings, self.major, configuration));
        self.settings.iter().for_each(|(name, value)| text.push_str(&setting_line(name, value)));
        text
    }

    /// Makes the data directory a standby's; the same again changes nothing. What makes the server a
    /// standby comes first: with the settings alone it would open as a primary.
    pub fn apply(&self, pgdata: &Path, major: PgMajor) -> Result<(), FileError> {
        let place = |name: &str| pgdata.join(name);
        if !major.has_recovery_signal() {
            return durable::write(&place("recovery.conf"), self.text.as_bytes());
        }
        durable::write(&place("recovery.signal"), b"")?;
        let auto_conf = place("postgresql.auto.conf");
        let before = match fs::read_to_string(&auto_conf) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(FileError::of("read", &auto_conf)(e)),
        };
        let after = self.in_auto_conf(&before, &place("postgresql.conf"));
        if after != before {
            durable::write(&auto_conf, after.as_bytes())?;
        }
        // With it, servers from 12 on don't start; the other would start a streaming standby.
        durable::remove(&place("recovery.conf"))?;
        durable::remove(&place("standby.signal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, major: &str) -> Result<RecoveryConfig, RecoveryConfigError> {
        RecoveryConfig::parse(text, Path::new("recovery.conf"), major.parse().unwrap())
    }

    fn in_auto_conf(text: &str, major: &str, before: &str) -> String {
        parse(text, major).unwrap().in_auto_conf(before, Path::new("/nowhere/postgresql.conf"))
    }

    const ORIGINAL: &str =
        "# ours\nrestore_command = '../x %f %p %r'\nrecovery_end_command = 'rm trigger'\n";

    #[test]
    fn without_a_file_there_is_a_default() {
        let config = parse("", "15").unwrap();
        assert_eq!(config.restore_command(), RecoveryConfig::RESTORE_COMMAND);
        let other = parse("recovery_end_command = 'x'", "15").unwrap();
        assert_eq!(other.restore_command(), RecoveryConfig::RESTORE_COMMAND);
        assert!(other.text.contains("'x'\nrestore_command"), "{}", other.text);
    }

    #[test]
    fn what_a_version_does_not_know_is_refused_by_name() {
        let error = parse("a = 'b'", "15").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("recovery setting a"), "{error}");
        let error = parse("\nstandby_mode = 'off'", "15").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("standby_mode"), "{error}");
        assert!(parse("standby_mode = 'off'", "9.6").is_ok());
        assert!(parse(ORIGINAL, "8.3").is_err(), "recovery_end_command came with 8.4");
    }

    #[test]
    fn reading_ahead_is_turned_off_where_it_would_hold_up_replay() {
        let lines = |text: &str, major: &str| in_auto_conf(text, major, "");
        assert!(lines("", "15").ends_with("recovery_prefetch = 'off'\n"));
        assert!(!lines("", "14").contains("recovery_prefetch"));
        let own = lines("recovery_prefetch = try", "15");
        assert!(own.contains("recovery_prefetch = 'try'") && !own.contains("'off'"), "{own}");
    }

    #[test]
    fn earlier_lines_of_the_same_settings_go() {
        let before =
            "# by ALTER SYSTEM\nwork_mem = '4MB'\nRestore_Command = 'old'\nnonsense here it's\n";
        let after = in_auto_conf(ORIGINAL, "15", before);
        assert!(after.starts_with("# by ALTER SYSTEM\nwork_mem = '4MB'\nnonsense here it's\n"));
        let expected = "restore_command = '../x %f %p %r'\nrecovery_end_command = 'rm trigger'\n\
                        recovery_prefetch = 'off'\n";
        assert!(after.ends_with(expected), "{after}");
        assert_eq!(after.matches("restore_command").count(), 1);
        assert_eq!(in_auto_conf(ORIGINAL, "15", &after), after);
    }

    #[test]
    fn no_recovery_target_is_inherited() {
        let before = "recovery_target_time = 'yesterday'\nrecovery_target_action = 'promote'\n\
                      promote_trigger_file = '/tmp/x'\nrecovery_target_timeline = 'current'\n";
        let after = in_auto_conf("", "15", before);
        for gone in ["yesterday", "'promote'", "/tmp/x", "'current'"] {
            assert!(!after.contains(gone), "{gone} in {after}");
        }
        for line in ["recovery_target_time = ''\n", "recovery_target_timeline = 'latest'\n"] {
            assert!(after.contains(line), "{line} in {after}");
        }
        let own = in_auto_conf("recovery_target_xid = 7\n", "15", before);
        assert_eq!(own.matches("recovery_target_xid").count(), 1);
        assert!(!in_auto_conf("", "16", before).contains("promote_trigger_file"));
    }

    #[test]
    fn a_directory_is_made_a_standbys() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (old, new) = ("11".parse().unwrap(), "15".parse().unwrap());
        parse(ORIGINAL, "11").unwrap().apply(dir.path(), old).unwrap();
        assert_eq!(fs::read_to_string(at("recovery.conf")).unwrap(), ORIGINAL);
        for _ in 0..2 {
            parse(ORIGINAL, "15").unwrap().apply(dir.path(), new).unwrap();
            assert!(at("recovery.signal").exists() && !at("recovery.conf").exists());
            let auto = fs::read_to_string(at("postgresql.auto.conf")).unwrap();
            assert_eq!(auto.matches("restore_command").count(), 1);
        }
    }
}
