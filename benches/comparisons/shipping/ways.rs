//! The ways of archiving that are compared: an archive_command, how to start over, and how to tell that it worked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use twowarm_core::testbed::{finish, names_in};

use super::lab::Lab;
use crate::Outcome;

/// A way of archiving.
pub struct Way {
    pub name: &'static str,
    pub target: Target,
    pub command: String,
}

/// Where a way archives to.
pub enum Target {
    /// Nowhere: the program is not installed.
    Absent,
    /// An archive with plain segments: twowarm with these settings, or another program.
    Archive { settings: String },
    /// pgBackRest's repository in this directory, with this configuration file.
    Repository { directory: PathBuf, config: PathBuf },
}

/// twowarm with additional settings, first those of `[node.db2]`.
pub fn twowarm(name: &'static str, settings: impl Into<String>) -> Way {
    let command = "../2warm/global/replication/archiveWALFile %p %f".to_owned();
    Way { name, target: Target::Archive { settings: settings.into() }, command }
}

/// twowarm to a mounted archive.
pub fn twowarm_local(lab: &Lab, name: &'static str) -> Way {
    twowarm(name, format!("carrier = \"local\"\narchive = \"{}\"", lab.db2.archive().display()))
}

/// rsync over ssh, as 2warm's archiveWALFile ran it.
pub fn rsync(lab: &Lab, name: &'static str, options: &str) -> Outcome<Way> {
    let (ssh, to) = (lab.ssh()?.join(" "), lab.destination());
    let archive = lab.db2.archive();
    let command = format!("rsync {options} -e '{ssh}' %p {to}:{}/%f", archive.display());
    Ok(other("rsync", name, command))
}

/// Another program that writes plain segments.
pub fn other(program: &str, name: &'static str, command: String) -> Way {
    let target = if is_installed(program) {
        Target::Archive { settings: String::new() }
    } else {
        Target::Absent
    };
    Way { name, target, command }
}

/// pgBackRest with zstd level 1 and two processes, synchronous or not, to the other node or to a local directory.
pub fn pgbackrest(lab: &Lab, name: &'static str, is_async: bool, is_far: bool) -> Outcome<Way> {
    if !is_installed("pgbackrest") {
        return Ok(Way { name, target: Target::Absent, command: String::new() });
    }
    let kind = |flag, yes, no| if flag { yes } else { no };
    let label = format!("{}-{}", kind(is_async, "async", "sync"), kind(is_far, "far", "local"));
    let (near, far) = (lab.db1.home().join(&label), lab.db2.home().join(&label));
    for directory in [&near, &far] {
        if !directory.exists() {
            lab.db1.run_as().make_dir(directory, 0o755)?;
        }
    }
    let directory = far.join("repository");
    let repository = format!("repo1-path={}\n", directory.display());
    let node = |home: &Path| {
        let home = home.display();
        format!(
            "[global]\nlock-path={home}/lock\nlog-path={home}\nlog-level-file=off\nlog-level-console=warn\n"
        )
    };
    let far_config = far.join("pgbackrest.conf");
    lab.db1.run_as().write(&far_config, node(&far) + &repository)?;
    let ssh = near.join("ssh");
    lab.db1.run_as().write(&ssh, format!("#!/bin/sh\nexec {} \"$@\"\n", lab.ssh()?.join(" ")))?;
    finish(lab.db1.program("chmod").arg("+x").arg(&ssh))?;
    let place = if is_far {
        format!(
            "repo1-host=127.0.0.1\nrepo1-host-user={}\nrepo1-host-port={}\nrepo1-host-config={}\ncmd-ssh={}\n",
            lab.db2.run_as().user(),
            lab.port,
            far_config.display(),
            ssh.display()
        )
    } else {
        repository
    };
    let config = near.join("pgbackrest.conf");
    let text = format!(
        "{}{place}spool-path={}/spool\ncompress-type=zst\ncompress-level=1\nprocess-max=2\narchive-async={}\n\
         [bench]\npg1-path={}\n",
        node(&near),
        near.display(),
        if is_async { "y" } else { "n" },
        lab.db1.pgdata().display()
    );
    lab.db1.run_as().write(&config, text)?;
    let command =
        format!("pgbackrest --config={} --stanza=bench archive-push %p", config.display());
    Ok(Way { name, target: Target::Repository { directory, config }, command })
}

impl Way {
    /// Makes these segments wait to be archived, to an empty target.
    pub fn prepare(&self, lab: &Lab, names: &[String]) -> Outcome<()> {
        lab.set_waiting(names)?;
        match &self.target {
            Target::Absent => {}
            Target::Archive { settings } => {
                lab.db1.write_local("2warm.toml", format!("{}{settings}\n", lab.settings))?;
                empty(&lab.db2.archive())?;
            }
            Target::Repository { directory, config } => {
                let near = config.parent().ok_or("no parent")?;
                [directory.as_path(), &near.join("spool")].into_iter().try_for_each(remove)?;
                lab.db2.run_as().make_dir(directory, 0o700)?;
                let mut create = lab.db1.program("pgbackrest");
                create.arg(format!("--config={}", config.display()));
                finish(create.args(["--stanza=bench", "--no-online", "stanza-create"]))?;
            }
        }
        // Not to be written out while something is measured.
        nix::unistd::sync();
        Ok(())
    }

    /// Whether all segments have arrived; with `compare`, whether plain ones are equal to the primary's.
    pub fn check(&self, lab: &Lab, names: &[String], compare: bool) -> Outcome<()> {
        let arrived = match &self.target {
            Target::Absent => return Ok(()),
            Target::Archive { .. } => {
                for name in names.iter().filter(|_| compare) {
                    if fs::read(lab.db2.archive().join(name))? != fs::read(lab.wal_file(name))? {
                        return Err(format!("{name} arrived with different content").into());
                    }
                }
                names_in(&lab.db2.archive())
            }
            Target::Repository { directory, .. } => segments_below(directory),
        };
        // pgBackRest adds the checksum to the name.
        let is_segment = |file: &String, name: &str| file.split('-').next() == Some(name);
        let missing = |name: &&String| !arrived.iter().any(|file| is_segment(file, name));
        match names.iter().find(missing) {
            Some(name) => Err(format!("{name} did not arrive").into()),
            None => Ok(()),
        }
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn remove(directory: &Path) -> io::Result<()> {
    fs::remove_dir_all(directory).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    })
}

/// Removes everything but the mark by which a mounted archive is recognized.
fn empty(archive: &Path) -> io::Result<()> {
    for entry in fs::read_dir(archive)?.flatten().filter(|entry| entry.file_name() != ".archive") {
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The names of the files in the subdirectories of a repository's archive: archive/STANZA/ID/PREFIX.
fn segments_below(repository: &Path) -> Vec<String> {
    let below = |directory: PathBuf| {
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
    };
    let ids = below(repository.join("archive/bench"));
    let prefixes = ids.flat_map(below).filter(|entry| entry.is_dir());
    prefixes.flat_map(|prefix| names_in(&prefix)).collect()
}
