use std::fs;
use std::path::{Path, PathBuf};

use twowarm_core::FileError;
use twowarm_core::base_copy::{
    DataRules, Target, links_inside, links_inside_tablespace, tablespace_rules, unlogged_files,
    whole_tablespace_rules,
};
use twowarm_core::data_directory::{DirectoryContents, control_bytes};
use twowarm_core::durable;
use twowarm_core::node::Install;
use twowarm_core::server::{ServerError, Session};
use twowarm_core::ship::NodeError;
use twowarm_core::version::PgMajor;
use twowarm_core::wal::{SegmentLayout, TimelineId};

use super::error::CopyError;

/// So many paths are named in a message.
const NAMED: usize = 6;

/// The primary that is copied.
pub(super) struct Source {
    /// Its data directory, without links in the path.
    pub pgdata: PathBuf,
    pub major: PgMajor,
    /// How it lays out its WAL.
    pub layout: SegmentLayout,
    /// The timeline it is on.
    pub timeline: TimelineId,
    /// The size of its databases, in bytes, as far as it tells.
    pub bytes: Option<u64>,
    /// Paths relative to the data directory that are this node's own.
    own_paths: Vec<PathBuf>,
    configuration: PathBuf,
}

impl Source {
    /// Looks whether this node is a primary that ships its WAL by archiveWALFile.
    pub fn examine(install: &Install) -> Result<(Source, Session), CopyError> {
        let named = install.require_pgdata()?;
        let found = DirectoryContents::read(named).map_err(ServerError::from)?;
        if let Some(file) = found.recovery {
            return Err(CopyError::Standby { pgdata: named.to_owned(), file });
        }
        let pgdata = named.canonicalize().map_err(FileError::of("find", named))?;
        let mut session = Session::open(named, &install.login())?;
        if session.in_recovery()? {
            return Err(CopyError::InRecovery(pgdata));
        }
        let major = session.major();
        check_archiving(&mut session)?;
        let cluster = found.control.ok_or_else(|| CopyError::NoControl(pgdata.clone()))?;
        let layout = cluster.layout().ok_or_else(|| NodeError::NoSegmentSize(pgdata.clone()))?;
        let timeline = match &cluster.control {
            Some(control) => control.timeline,
            None => {
                let question = major.checkpoint_timeline();
                let number = session.value(question)?.parse();
                number.map_err(|_| ServerError::UnexpectedResult(question.into()))?
            }
        };
        let configuration = PathBuf::from(session.setting("config_file")?);
        let logs = pgdata.join(session.setting("log_directory")?);
        let inside = |path: &Path| {
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let relative = path.strip_prefix(&pgdata).ok()?;
            (!relative.as_os_str().is_empty()).then(|| relative.to_owned())
        };
        let own = [install.require_archive()?, &logs];
        // A link to one is left out as well as what it leads to.
        let written = own.into_iter().filter_map(|path| path.strip_prefix(&pgdata).ok());
        let written = written.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
        let own_paths = own.into_iter().filter_map(inside).chain(written).collect();
        let bytes = session
            .value("select sum(pg_database_size(oid))::bigint from pg_database")
            .ok()
            .and_then(|size| size.parse().ok());
        let source = Source { pgdata, major, layout, timeline, bytes, own_paths, configuration };
        Ok((source, session))
    }

    /// Refuses what would be copied as a link; `tablespaces` are those here.
    pub fn check_links(&self, tablespaces: &[(u32, PathBuf)]) -> Result<(), CopyError> {
        let mut found: Vec<PathBuf> = links_inside(&self.pgdata, &self.own_paths)?
            .iter()
            .map(|path| self.pgdata.join(path))
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
        let mut named: Vec<String> =
            found.iter().take(NAMED).map(|path| path.display().to_string()).collect();
        if found.len() > NAMED {
            named.push(format!("and {} more", found.len() - NAMED));
        }
        Err(CopyError::InnerLinks(named.join(", ")))
    }

    /// Keeps postgresql.conf in `2warm/local`, from where configStandby takes it when this node is to
    /// become a standby.
    pub fn save_configuration(&self, install: &Install) -> Result<PathBuf, CopyError> {
        let saved = install.local().join("postgresql.conf");
        let text =
            fs::read(&self.configuration).map_err(FileError::of("read", &self.configuration))?;
        durable::write(&saved, &text)?;
        Ok(saved)
    }

    /// What of the data directory is copied; `tablespaces` are those here.
    pub fn rules(&self, target: &Target, tablespaces: &[PathBuf]) -> Result<String, CopyError> {
        let inside = tablespaces.iter().filter_map(|path| path.strip_prefix(&self.pgdata).ok());
        let own_paths = self.own_paths.iter().chain(&target.own_paths).cloned();
        let rules = DataRules {
            own_paths: own_paths.chain(inside.map(Path::to_owned)).collect(),
            unlogged: unlogged_files(&self.pgdata.join("base"), "base/")?,
        };
        Ok(rules.text())
    }

    /// The directories of a tablespace that are this version's, by name, with what of them is copied; an
    /// empty name is the tablespace's own directory.
    pub fn tablespace_directories(
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

    /// pg_control as it is now, whole.
    pub fn control_bytes(&self) -> Result<Vec<u8>, CopyError> {
        let found = control_bytes(&self.pgdata).map_err(ServerError::from)?;
        found.ok_or_else(|| CopyError::NoControl(self.pgdata.clone()))
    }
}

fn check_archiving(session: &mut Session) -> Result<(), CopyError> {
    const COMMAND: &str = "'../2warm/global/replication/archiveWALFile %p %f'";
    let major = session.major();
    let mut setting = |name| -> Result<String, ServerError> { session.setting(name) };
    if major.has_archive_mode() {
        let value = setting("archive_mode")?;
        if value == "off" {
            let (name, then) = ("archive_mode", "restart");
            return Err(CopyError::Archiving { name, value, wanted: "on", then });
        }
    }
    if major.has_archive_library() {
        let value = setting("archive_library")?;
        if !value.is_empty() {
            let (name, then) = ("archive_library", "reload");
            return Err(CopyError::Archiving { name, value, wanted: "''", then });
        }
    }
    let value = setting("archive_command")?;
    if !value.contains("archiveWALFile") {
        let (name, then) = ("archive_command", "reload");
        return Err(CopyError::Archiving { name, value, wanted: COMMAND, then });
    }
    Ok(())
}
