use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use twowarm_core::version::PgMajor;
use twowarm_core::wal::SegmentName;

use super::{BedError, WarmPair};

/// A primary that archives into a directory, and a warm standby whose restore_command is pg_standby.
pub struct Pair(WarmPair);

impl Deref for Pair {
    type Target = WarmPair;

    fn deref(&self) -> &WarmPair {
        &self.0
    }
}

impl Pair {
    /// With `restore_command = 'pg_standby OPTIONS -t TRIGGER ARCHIVE %f %p %r'`.
    pub fn new(hot: bool, options: &str) -> Result<Pair, BedError> {
        let pair = Pair(WarmPair::new("pg_standby", hot, &[])?);
        let standby = &pair.standby;
        let program = standby.home().join("pg_standby");
        standby.run_as().copy_program(Path::new(env!("CARGO_BIN_EXE_pg_standby")), &program)?;
        let (trigger, archive) = (pair.trigger_file(), standby.archive());
        standby.recover_with(&format!(
            "restore_command = '{} {options} -t {} {} %f %p %r'",
            program.display(),
            trigger.display(),
            archive.display()
        ))?;
        Ok(pair)
    }

    /// The servers' version.
    pub fn major(&self) -> Result<PgMajor, BedError> {
        self.primary.install().major()
    }

    /// What `-t` names.
    fn trigger_file(&self) -> PathBuf {
        self.standby.home().join("trigger")
    }

    /// The content of the trigger file.
    pub fn trigger_content(&self) -> String {
        fs::read_to_string(self.trigger_file()).expect("the trigger file was created")
    }

    /// Writes the trigger file.
    pub fn trigger(&self, content: &str) -> Result<(), BedError> {
        self.standby.run_as().write(&self.trigger_file(), content)
    }

    /// The segment after the last in the archive.
    pub fn next(&self) -> String {
        let last = self.archived().pop().expect("something was shipped");
        let place = last.parse::<SegmentName>().expect("it is the name of a segment").place;
        assert!(place.segment < 0xFE, "the tests stay within the first 4 GB");
        format!("{:08X}{:08X}{:08X}", 1, place.log_id, place.segment + 1)
    }

    /// Takes a segment out of the archive; the returned function puts it back.
    pub fn hold_back(&self, name: &str) -> impl FnOnce() {
        let archive = self.standby.archive();
        let (archived, aside) = (archive.join(name), archive.join("held back"));
        fs::rename(&archived, &aside).expect("the segment was archived");
        move || fs::rename(aside, archived).expect("the segment is held back")
    }

    /// Whether pg_standby waits for this segment.
    pub fn waits_for(&self, name: &str) -> bool {
        let asks = |command: &str| command.contains("pg_standby -d") && command.contains(name);
        self.standby.processes().any(|process| asks(&process.command))
    }

    /// Asserts what a fast trigger leaves: an empty file through 14, and from 15 on the segment that was refused.
    pub fn assert_fast_trigger_became(&self, refused: &str) {
        let remembers = self.major().is_ok_and(PgMajor::asks_twice);
        let expected = if remembers { format!("fast {refused}\n") } else { String::new() };
        assert_eq!(self.trigger_content(), expected);
    }

    /// [`WarmPair::replay_with_a_restart`], of which every segment was given to the standby.
    pub fn replay_with_a_restart(&self) -> Result<(), BedError> {
        self.0.replay_with_a_restart()?;
        let log = self.standby.log();
        let restored = |name: &&String| log.contains(&format!("restored log file \"{name}\""));
        assert!(self.archived().iter().filter(restored).count() >= 7, "{log}");
        Ok(())
    }
}
