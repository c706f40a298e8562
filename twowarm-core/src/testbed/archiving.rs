use std::path::Path;

use super::{BedError, LIMIT, Node, finish, wait_until};

/// Archiving and recovery by PostgreSQL and `cp` alone.
impl Node {
    /// Creates `directory` and makes the server archive into it with `cp` and `mv`. Call it after
    /// [`Node::initdb`] and before [`Node::start`].
    pub fn archive_into(&self, directory: &Path) -> Result<(), BedError> {
        self.run_as().make_dir(directory, 0o755)?;
        self.archive_by_copy(directory)
    }

    /// The same for a directory that will exist once the server runs.
    pub(super) fn archive_by_copy(&self, directory: &Path) -> Result<(), BedError> {
        let (conf, to) = (self.archiving_conf()?, directory.display());
        self.append_conf(&format!(
            "{conf}archive_command = 'cp %p {to}/%f.tmp && mv {to}/%f.tmp {to}/%f'"
        ))
    }

    /// Ends the current segment and returns its name.
    pub fn switch_wal(&self) -> Result<String, BedError> {
        let major = self.bed.install().major()?;
        let name = self.sql(major.current_wal_file())?;
        self.sql(major.switch_wal())?;
        Ok(name)
    }

    /// Waits until archive_command has succeeded for this segment.
    pub fn wait_until_archived(&self, segment: &str) -> Result<(), BedError> {
        let status = self.pgdata().join(self.bed.install().major()?.wal_directory());
        let done = status.join("archive_status").join(format!("{segment}.done"));
        wait_until(&format!("{segment} to be archived"), LIMIT, || done.exists())
            .map_err(|error| self.with_log(error))
    }

    /// Makes this node's data directory a copy of another node's, whose server has not been started. The copy
    /// archives nothing.
    pub fn copy_of(&self, primary: &Node) -> Result<(), BedError> {
        finish(self.program("cp").arg("-a").arg(primary.pgdata()).arg(self.pgdata()))?;
        self.append_conf(&format!("{}archive_command = ''", self.own_conf()?))
    }

    /// Makes the server start in archive recovery (not in standby mode) with these recovery settings,
    /// `restore_command` among them.
    pub fn recover_with(&self, settings: &str) -> Result<(), BedError> {
        let file = |name: &str| self.pgdata().join(name);
        if self.bed.install().major()?.has_recovery_signal() {
            self.append_conf(settings)?;
            self.run_as().write(&file("recovery.signal"), "")
        } else {
            self.run_as().write(&file("recovery.conf"), format!("{settings}\n"))
        }
    }

    /// Waits until the server's log contains these words.
    pub fn wait_for_log(&self, words: &str) -> Result<(), BedError> {
        wait_until(&format!("\"{words}\" in {}'s log", self.name), LIMIT, || {
            self.log().contains(words)
        })
        .map_err(|error| BedError(format!("{error}; the log:\n{}", self.log())))
    }

    /// Waits until the standby has restored this segment and its restoreWALFile waits for the next one. This also
    /// shows the progress of a standby before 9.0, which can't be queried.
    pub fn wait_until_restored(&self, segment: &str) -> Result<(), BedError> {
        let restored = format!("restored log file \"{segment}\"");
        // Servers before 8.4 ignore a fast stop between two calls of restore_command.
        let waits = || self.log().contains(&restored) && self.waits_after(segment);
        wait_until(&restored, LIMIT, waits)
            .map_err(|error| BedError(format!("{error}; the log:\n{}", self.relevant_log())))
    }

    /// Waits until the server is a primary.
    pub fn wait_for_promotion(&self) -> Result<(), BedError> {
        wait_until(&format!("{} to be promoted", self.name), LIMIT, || {
            self.is_in_recovery().is_ok_and(|in_recovery| !in_recovery)
        })
        .map_err(|error| BedError(format!("{error}; the log:\n{}", self.log())))
    }
}
