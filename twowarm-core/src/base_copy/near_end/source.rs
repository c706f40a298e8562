use std::fs;
use std::path::{Path, PathBuf};

use super::plan::Directory;
use super::{BaseCopy, CopyError, TargetRole, shipping};
use crate::base_copy::{
    DataRules, Tablespace, Target, links_inside, links_inside_tablespace, tablespace_rules,
    unlogged_files, whole_tablespace_rules,
};
use crate::data_directory::{DirectoryContents, Role, control_bytes, identity};
use crate::durable;
use crate::file_error::FileError;
use crate::server::{ServerError, Session};
use crate::ship::NodeError;
use crate::timelines::Timelines;
use crate::version::PgMajor;
use crate::wal::{Lsn, SegmentLayout, SegmentName, TimelineHistory, TimelineId};

/// How many paths a message lists.
const LISTED: usize = 6;

/// The cluster that is copied: that of a running primary or standby.
pub(super) struct Source {
    /// Its data directory, without symbolic links in the path.
    pub data_directory: PathBuf,
    pub role: Role,
    pub major: PgMajor,
    /// How WAL positions and segment names correspond.
    pub layout: SegmentLayout,
    /// The timeline of its last checkpoint when it was examined.
    timeline: TimelineId,
    /// Paths relative to the data directory that belong to this node, not to the cluster: archive and logs.
    own_paths: Vec<PathBuf>,
    /// postgresql.conf.
    configuration: PathBuf,
}

impl Source {
    /// Fails unless a base copy can be made from this node: from a primary that ships its WAL by archiveWALFile,
    /// or, to a DR node, from a standby that takes a backup.
    pub(super) fn examine(copy: &BaseCopy) -> Result<(Source, Session), CopyError> {
        let named = copy.local_node.data_directory.as_path();
        let found = DirectoryContents::read(named)?;
        if let Some(file) = found.recovery {
            check_standby(copy, found.control.as_ref().and_then(|control| control.major), || {
                CopyError::Standby { data_directory: named.to_owned(), file }
            })?;
        }
        let data_directory = named.canonicalize().map_err(FileError::of("find", named))?;
        let mut session = Session::open(named, &copy.login)?;
        let major = session.major();
        let role = if session.in_recovery()? { Role::Standby } else { Role::Primary };
        match role {
            Role::Standby => {
                check_standby(copy, Some(major), || CopyError::InRecovery(data_directory.clone()))?
            }
            Role::Primary => {
                shipping::check_settings(&mut session, &data_directory)?;
                shipping::check_active(copy)?;
            }
        }
        let cluster = found.control.ok_or_else(|| CopyError::NoControl(data_directory.clone()))?;
        let layout =
            cluster.layout().ok_or_else(|| NodeError::NoSegmentSize(data_directory.clone()))?;
        let timeline = match &cluster.control {
            Some(control) => control.timeline,
            None => {
                let question = major.checkpoint_timeline();
                let number = session.value(question)?.parse();
                number.map_err(|_| ServerError::UnexpectedResult(question.into()))?
            }
        };
        let configuration = PathBuf::from(session.setting("config_file")?);
        let logs = data_directory.join(session.setting("log_directory")?);
        let inside = |path: &PathBuf| {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let relative = path.strip_prefix(&data_directory).ok()?;
            (!relative.as_os_str().is_empty()).then(|| relative.to_owned())
        };
        let own = [&copy.archive, &logs];
        // Both a symbolic link and what it points to are left out.
        let written = own.into_iter().filter_map(|path| path.strip_prefix(&data_directory).ok());
        let written = written.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
        let own_paths = own.into_iter().filter_map(inside).chain(written).collect();
        let source =
            Source { data_directory, role, major, layout, timeline, own_paths, configuration };
        Ok((source, session))
    }

    /// Fails if parts of the cluster are symbolic links, which would be copied as links.
    pub(super) fn check_links(&self, tablespaces: &[(u32, PathBuf)]) -> Result<(), CopyError> {
        let mut found: Vec<PathBuf> = links_inside(&self.data_directory, &self.own_paths)?
            .iter()
            .map(|path| self.data_directory.join(path))
            .collect();
        for (_, tablespace) in tablespaces {
            for name in self.tablespace_names(tablespace)? {
                let directory = tablespace.join(name);
                let links = links_inside_tablespace(&directory)?;
                found.extend(links.iter().map(|path| directory.join(path)));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let mut listed: Vec<String> =
            found.iter().take(LISTED).map(|path| path.display().to_string()).collect();
        if found.len() > LISTED {
            listed.push(format!("and {} more", found.len() - LISTED));
        }
        Err(CopyError::InnerLinks(listed.join(", ")))
    }

    /// Saves postgresql.conf, which is used again when this node becomes a standby.
    pub(super) fn save_configuration(&self, saved: &Path) -> Result<(), CopyError> {
        let text =
            fs::read(&self.configuration).map_err(FileError::of("read", &self.configuration))?;
        Ok(durable::write(saved, &text)?)
    }

    /// The data directory, as it is copied; `tablespaces` are this node's.
    pub(super) fn directory(
        &self,
        target: &Target,
        tablespaces: &[Tablespace],
    ) -> Result<Directory, CopyError> {
        let inside =
            tablespaces.iter().filter_map(|t| t.from.strip_prefix(&self.data_directory).ok());
        let own_paths = self.own_paths.iter().chain(&target.own_paths).cloned();
        let own_paths: Vec<PathBuf> = own_paths.chain(inside.map(Path::to_owned)).collect();
        let left_out = ["pg_wal", "pg_xlog", "archive", "log", "pg_log"].map(PathBuf::from);
        let left_out = left_out.into_iter().chain(own_paths.iter().cloned()).collect();
        let unlogged = unlogged_files(&self.data_directory.join("base"), "base/")?;
        let rules = DataRules { own_paths, unlogged }.text();
        let (from, to) = (self.data_directory.clone(), target.pgdata.clone());
        Ok(Directory { from, to, name: String::new(), outer_rules: rules.clone(), rules, left_out })
    }

    /// The directories of a tablespace that belong to this version, as they are copied.
    pub(super) fn tablespace_directories(
        &self,
        tablespace: &Tablespace,
    ) -> Result<Vec<Directory>, CopyError> {
        let names = self.tablespace_names(&tablespace.from)?.into_iter();
        let directories = names.map(|name| {
            let (from, to) = (tablespace.from.clone(), tablespace.to.clone());
            let rules = |prefix: &str| {
                if name.is_empty() {
                    return Ok(whole_tablespace_rules());
                }
                let unlogged = unlogged_files(&from.join(&name), prefix)?;
                Ok::<_, FileError>(tablespace_rules(prefix, &unlogged))
            };
            let (rules, outer_rules) = (rules("")?, rules(&format!("{name}/"))?);
            Ok(Directory { from, to, name, rules, outer_rules, left_out: Vec::new() })
        });
        directories.collect()
    }

    /// The names of the directories of a tablespace that belong to this version. Before 9.0 it is the tablespace's own
    /// directory, with an empty name.
    fn tablespace_names(&self, tablespace: &Path) -> Result<Vec<String>, CopyError> {
        let Some(beginning) = self.major.tablespace_directory() else {
            return Ok(vec![String::new()]);
        };
        let listed = || FileError::of::<std::io::Error>("list", tablespace);
        let mut found = Vec::new();
        for entry in fs::read_dir(tablespace).map_err(listed())? {
            let name = entry.map_err(listed())?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&beginning) {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// The timeline of the last checkpoint. That of a backup may be the first one after a promotion.
    pub(super) fn checkpoint_timeline(&self) -> Result<TimelineId, CopyError> {
        let control = identity(&self.data_directory)?.and_then(|cluster| cluster.control);
        Ok(control.map_or(self.timeline, |control| control.timeline))
    }

    /// The segment in which replay would begin after a restart, which the backup of a standby begins in as well, unless
    /// there is a later restart point by then.
    pub(super) fn redo_segment(&self) -> Result<SegmentName, CopyError> {
        let control = identity(&self.data_directory)?.and_then(|cluster| cluster.control);
        // A pg_control of a newer version does not tell.
        let redo = control.as_ref().map_or(Lsn::INVALID, |control| control.redo);
        let timeline = control.map_or(self.timeline, |control| control.timeline);
        Ok(self.layout.containing(timeline, redo))
    }

    /// The history by which the WAL files of a backup are named, if they are not all on one timeline: a standby
    /// may follow a new timeline during the backup.
    pub(super) fn history(&self, archive: &Path) -> Result<Option<TimelineHistory>, CopyError> {
        let control = identity(&self.data_directory)?.and_then(|cluster| cluster.control);
        let reached = control.and_then(|control| control.min_recovery_timeline);
        let (Role::Standby, Some(reached)) = (self.role, reached) else { return Ok(None) };
        Ok(Timelines::new(archive, Some(&self.data_directory)).history(reached)?)
    }

    /// The current content of pg_control.
    pub(super) fn control_bytes(&self) -> Result<Vec<u8>, CopyError> {
        let found = control_bytes(&self.data_directory)?;
        found.ok_or_else(|| CopyError::NoControl(self.data_directory.clone()))
    }
}

/// Fails with `refusal` if the copy must be made from the primary, and if the version takes no backup from a standby.
fn check_standby(
    copy: &BaseCopy,
    major: Option<PgMajor>,
    refusal: impl FnOnce() -> CopyError,
) -> Result<(), CopyError> {
    match major {
        _ if copy.role == TargetRole::Standby => Err(refusal()),
        Some(major) if !major.has_session_backup() => Err(CopyError::NoStandbyBackup(major)),
        _ => Ok(()),
    }
}
