use std::fs;
use std::path::{Path, PathBuf};

use super::{BaseCopy, CopyError, shipping};
use crate::base_copy::{
    DataRules, Target, links_inside, links_inside_tablespace, tablespace_rules, unlogged_files,
    whole_tablespace_rules,
};
use crate::data_directory::{DirectoryContents, control_bytes};
use crate::durable;
use crate::file_error::FileError;
use crate::server::{ServerError, Session};
use crate::ship::NodeError;
use crate::version::PgMajor;
use crate::wal::{SegmentLayout, TimelineId};

/// How many paths a message lists.
const LISTED: usize = 6;

/// The primary that is copied.
pub(super) struct Primary {
    /// Its data directory, without symbolic links in the path.
    pub data_directory: PathBuf,
    pub major: PgMajor,
    /// How WAL positions and segment names correspond.
    pub layout: SegmentLayout,
    /// Its timeline.
    pub timeline: TimelineId,
    /// The size of its databases in bytes, if the user may see it.
    pub bytes: Option<u64>,
    /// Paths relative to the data directory that belong to this node, not to the cluster: archive and logs.
    own_paths: Vec<PathBuf>,
    /// postgresql.conf.
    configuration: PathBuf,
}

impl Primary {
    /// Fails unless this node is a primary that ships its WAL by archiveWALFile.
    pub(super) fn examine(copy: &BaseCopy) -> Result<(Primary, Session), CopyError> {
        let named = copy.local_node.data_directory.as_path();
        let found = DirectoryContents::read(named)?;
        if let Some(file) = found.recovery {
            return Err(CopyError::Standby { data_directory: named.to_owned(), file });
        }
        let data_directory = named.canonicalize().map_err(FileError::of("find", named))?;
        let mut session = Session::open(named, &copy.login)?;
        if session.in_recovery()? {
            return Err(CopyError::InRecovery(data_directory));
        }
        let major = session.major();
        shipping::check_settings(&mut session, &data_directory)?;
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
        let bytes = session
            .value("select sum(pg_database_size(oid))::bigint from pg_database")
            .ok()
            .and_then(|size| size.parse().ok());
        let primary =
            Primary { data_directory, major, layout, timeline, bytes, own_paths, configuration };
        Ok((primary, session))
    }

    /// Fails if parts of the cluster are symbolic links, which would be copied as links.
    pub(super) fn check_links(&self, tablespaces: &[(u32, PathBuf)]) -> Result<(), CopyError> {
        let mut found: Vec<PathBuf> = links_inside(&self.data_directory, &self.own_paths)?
            .iter()
            .map(|path| self.data_directory.join(path))
            .collect();
        for (_, tablespace) in tablespaces {
            for (name, _) in self.tablespace_directories(tablespace)? {
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

    /// The rules of what is copied from the data directory; `tablespaces` are this node's.
    pub(super) fn rules(
        &self,
        target: &Target,
        tablespaces: &[PathBuf],
    ) -> Result<String, CopyError> {
        let inside =
            tablespaces.iter().filter_map(|path| path.strip_prefix(&self.data_directory).ok());
        let own_paths = self.own_paths.iter().chain(&target.own_paths).cloned();
        let rules = DataRules {
            own_paths: own_paths.chain(inside.map(Path::to_owned)).collect(),
            unlogged: unlogged_files(&self.data_directory.join("base"), "base/")?,
        };
        Ok(rules.text())
    }

    /// The directories of a tablespace that belong to this version, and the rules of what is copied from each.
    /// Before 9.0 it is the tablespace's own directory, with an empty name.
    pub(super) fn tablespace_directories(
        &self,
        tablespace: &Path,
    ) -> Result<Vec<(String, String)>, CopyError> {
        let Some(beginning) = self.major.tablespace_directory() else {
            return Ok(vec![(String::new(), whole_tablespace_rules())]);
        };
        let listed = || FileError::of::<std::io::Error>("list", tablespace);
        let mut found = Vec::new();
        for entry in fs::read_dir(tablespace).map_err(listed())? {
            let name = entry.map_err(listed())?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&beginning) {
                let unlogged = unlogged_files(&tablespace.join(&name), "")?;
                found.push((name, tablespace_rules(&unlogged)));
            }
        }
        Ok(found)
    }

    /// The current content of pg_control.
    pub(super) fn control_bytes(&self) -> Result<Vec<u8>, CopyError> {
        let found = control_bytes(&self.data_directory)?;
        found.ok_or_else(|| CopyError::NoControl(self.data_directory.clone()))
    }
}
