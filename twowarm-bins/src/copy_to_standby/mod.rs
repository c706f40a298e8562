//! copyToStandby: makes a base copy of the running primary on the other node.

mod agreement;
mod arrival;
mod bulk;
mod error;
mod far;
mod same_place;
mod signals;
mod source;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::HumanDuration;
use twowarm_core::FileError;
use twowarm_core::base_copy::{
    Nonce, Part, Survey, Tablespace, Target, map_tablespaces, rewrite_map, tablespace_links,
};
use twowarm_core::data_directory::{check_owner, lock_directory};
use twowarm_core::durable;
use twowarm_core::identifiers::NodeName;
use twowarm_core::node::{Caller, Install};
use twowarm_core::rsync::{Remote, Transfer};
use twowarm_core::server::{Backup, FinishedBackup, Session};

use self::bulk::{Bulk, TRIAL};
use self::error::CopyError;
use self::far::{FarEnd, prove_archive};
use self::source::Source;
use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;
use crate::patience::patiently;

const LABEL: &str = "twowarm";

/// No WAL file arriving for so many time limits ends the wait for them: archive_command tries again only
/// after a minute.
const PATIENCE: u32 = 10;

/// copyToStandby's main.
pub fn main() -> ExitCode {
    Command {
        name: "copyToStandby",
        arguments: "[--yes]",
        about: "Run on the primary, after configStandby on the other node: proves that WAL can be shipped there, \
                turns shipping on, and copies the running cluster over what stands in the data directory there. \
                What is not PostgreSQL's there and would be deleted or overwritten is named first, and you are \
                asked; --yes answers beforehand.",
        caller: Caller::Person,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let yes = match arguments {
        [] => false,
        [argument] if argument == "--yes" => true,
        _ => return Err(Failure::Usage("it takes no argument but --yes".into())),
    };
    copy(install, yes)?;
    Ok(DONE)
}

fn copy(install: &Install, yes: bool) -> Result<(), CopyError> {
    let started = Instant::now();
    let node = install.require_other_node()?;
    check_owner(install.require_pgdata()?)?;
    let _lock = lock_directory(install.require_pgdata()?)?;
    let (source, mut session) = patiently("the server to answer", || Source::examine(install))?;
    let remote = Remote::new(install.reach(node));
    let links = tablespace_links(&source.pgdata)?;
    source.check_links(&links)?;
    let tablespaces = map_tablespaces(&links, &install.tablespaces_on(node))?;

    let own_directories = links.iter().map(|(_, path)| path.clone());
    let nonce =
        Nonce::create(std::iter::once(source.pgdata.clone()).chain(own_directories).collect())?;
    let mut far = FarEnd::open(install, node)?;
    let target = far.survey(Survey {
        nonce: nonce.name().to_owned(),
        source: source.pgdata.clone(),
        tablespaces: tablespaces.clone(),
    })?;
    drop(nonce);
    announce(&source, node, &target, &tablespaces);
    let copy = Copy { install, node, source: &source, remote: &remote, target, tablespaces };
    copy.obtain_agreement(&mut far, yes)?;
    // The other node's is the same file; whether it is usable, that node says.
    let recovery = install.recovery_source().read(source.major).ok();
    if let Some(line) = recovery.and_then(|recovery| recovery.warning()) {
        print(&format!("{line}\n"));
    }
    let saved = source.save_configuration(install)?;
    print(&format!("postgresql.conf is kept as {}\n", saved.display()));
    start_shipping(install, node, &mut session)?;

    let place = format!("{node}:{}", copy.target.pgdata.display());
    let backup = copy.run(&mut far, session).map_err(|source| CopyError::Unfinished {
        place: place.clone(),
        source: Box::new(source),
    })?;
    copy.await_wal(&mut far, &backup)?;
    far.close();
    print(&format!("Done in {}. The standby can be started\n", HumanDuration(started.elapsed())));
    Ok(())
}

/// What is going to happen, before it does.
fn announce(source: &Source, node: &NodeName, target: &Target, tablespaces: &[Tablespace]) {
    let to = target.pgdata.display();
    print(&format!("Copying {} to {node}:{to}\n", source.pgdata.display()));
    for tablespace in tablespaces {
        let (from, to) = (tablespace.from.display(), tablespace.to.display());
        print(&format!("Copying the tablespace {from} to {node}:{to}\n"));
    }
    if target.older_copy {
        print(&format!(
            "An older copy is there: it is brought up to date, and what {} no longer has is deleted\n",
            source.pgdata.display()
        ));
    }
}

/// Turns shipping on, once it is proved that what is shipped can be received.
fn start_shipping(
    install: &Install,
    node: &NodeName,
    session: &mut Session,
) -> Result<(), CopyError> {
    let archive = prove_archive(install, node)?;
    let active = install.archiving_active_file();
    match durable::create(&active, b"") {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
        _ => {}
    }
    let position = session.value(session.major().switch_wal())?;
    print(&format!("WAL is shipped to {node}:{archive} from {position} on\n"));
    Ok(())
}

struct Copy<'a> {
    install: &'a Install,
    node: &'a NodeName,
    source: &'a Source,
    remote: &'a Remote,
    target: Target,
    tablespaces: Vec<Tablespace>,
}

impl Copy<'_> {
    /// What of the data directory is copied.
    fn rules(&self) -> Result<String, CopyError> {
        let inside: Vec<PathBuf> = self.tablespaces.iter().map(|t| t.from.clone()).collect();
        self.source.rules(&self.target, &inside)
    }

    fn obtain_agreement(&self, far: &mut FarEnd, yes: bool) -> Result<(), CopyError> {
        let rules = agreement::rules(&self.rules()?);
        let (from, to) = (&self.source.pgdata, &self.target.pgdata);
        let trial = Transfer { remote: self.remote, from, to, options: &TRIAL, rules: &rules };
        agreement::obtain(far, self.node, &trial, yes)
    }

    /// The copy itself. When this fails the backup is ended, and the target has no pg_control.
    fn run(&self, far: &mut FarEnd, session: Session) -> Result<FinishedBackup, CopyError> {
        let (from, to) = (&self.source.pgdata, &self.target.pgdata);
        same_place::begin(far, self.remote, self.node, from, to)?;
        if !self.source.major.has_session_backup() {
            far.hold_signals()?;
        }
        let backup = self.copy_in_backup(far, session);
        // What a signal made fail, rsync above all, is not the reason.
        let backup = backup.or_else(|error| far.check_signals().and(Err(error)))?;
        far.release_signals();
        Ok(backup)
    }

    fn copy_in_backup(
        &self,
        far: &mut FarEnd,
        session: Session,
    ) -> Result<FinishedBackup, CopyError> {
        let login = self.install.login();
        let canceller = session.canceller();
        let waits_for = match self.source.major {
            major if major.spreads_backup_checkpoint() => {
                "the checkpoint, which this version spreads over checkpoint_completion_target of checkpoint_timeout"
            }
            _ => "the checkpoint",
        };
        let pgdata = &self.source.pgdata;
        let backup = far.meanwhile_asking(waits_for, canceller, || {
            Backup::start(session, pgdata, &login, LABEL)
        })??;
        let layout = self.source.layout;
        let first = layout.containing(self.source.timeline, backup.start_lsn());
        print(&format!("The online backup begins at WAL file {first}\n"));
        self.copy_files(far)?;
        // Read before the backup ends, so that its end lies behind whatever this says.
        let control = self.source.control_bytes()?;
        let canceller = backup.canceller();
        let waits_for = "the end of the backup";
        let backup = far.meanwhile_asking(waits_for, canceller, move || backup.stop(layout))??;
        print(&format!("The online backup ends in WAL file {}\n", backup.last));
        far.send_part(Part::Label, &backup.label)?;
        let map = rewrite_map(&backup.tablespace_map, &self.tablespaces);
        far.send_part(Part::TablespaceMap, &map)?;
        far.send_part(Part::Control, &control)?;
        for lack in far.finish()? {
            print(&format!("WARNING: {}: {lack}\n", self.node));
        }
        Ok(backup)
    }

    fn copy_files(&self, far: &mut FarEnd) -> Result<(), CopyError> {
        let mut bulk = Bulk::new(self.remote, self.source.bytes);
        for tablespace in &self.tablespaces {
            // One that was dropped since is gone from the copy too once its WAL is replayed.
            match fs::metadata(&tablespace.from) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                found => found.map_err(FileError::of("look at", &tablespace.from))?,
            };
            for (name, rules) in self.source.tablespace_directories(&tablespace.from)? {
                let (from, to) = (tablespace.from.join(&name), tablespace.to.join(&name));
                bulk.copy(far, &from, &to, &rules)?;
            }
        }
        let rules = self.rules()?;
        bulk.copy(far, &self.source.pgdata, &self.target.pgdata, &rules)?;
        bulk.finish();
        Ok(())
    }

    /// Without all WAL from the backup's start to its end, the copy is no copy.
    fn await_wal(&self, far: &mut FarEnd, backup: &FinishedBackup) -> Result<(), CopyError> {
        let names = arrival::needed(backup, self.source.layout)?;
        let count = names.len();
        let patience = (self.install.settings.time_limit * PATIENCE).max(Duration::from_secs(60));
        let pgdata = &self.source.pgdata;
        arrival::wait_for(far, &self.node.to_string(), pgdata, names, patience)?;
        print(&format!(
            "All WAL that the copy needs is in {}'s archive ({count} segments)\n",
            self.node
        ));
        Ok(())
    }
}
