use std::io;
use std::path::PathBuf;
use std::time::Duration;

use postgres::error::SqlState;

use crate::data_directory::IdentityError;
use crate::file_error::FileError;
use crate::wal::{BadBackupLabel, NotAnLsn};

/// Why a server could not be asked, or a data directory not be judged.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no server is running in {}: start it", .0.display())]
    NotRunning(PathBuf),
    #[error("could not connect to the server at {to}: {}", told(source))]
    Connect { to: String, source: postgres::Error },
    #[error("the server at {to} did not answer within {} s; it hangs, or its machine does", limit.as_secs())]
    Silent { to: String, limit: Duration },
    #[error("the server did not answer \"{sql}\" within {} s", limit.as_secs())]
    Late { sql: String, limit: Duration },
    #[error("no thread could be started to ask the server: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the server refused \"{sql}\": {}", told(source))]
    Query { sql: String, source: postgres::Error },
    #[error("the server gave no answer to \"{0}\"")]
    NoAnswer(String),
    #[error(
        "the server that answers stands in {}, not in {}", found.display(), wanted.display()
    )]
    AnotherServer { wanted: PathBuf, found: PathBuf },
    #[error("the server that answers runs on another machine, not in {} of this one", .0.display())]
    AnotherMachine(PathBuf),
    #[error("could not reach the server of {}: {}", pgdata.display(), each(tried))]
    Nowhere {
        pgdata: PathBuf,
        /// What names each place, and what came of it.
        tried: Vec<(&'static str, ServerError)>,
    },
    #[error("the server that answers is of another cluster than {}", .0.display())]
    AnotherCluster(PathBuf),
    #[error(
        "{} exists: an online backup that is not ours is in progress (label \"{name}\", started {since}). Wait for its end; if what started it is gone, end it by select pg_stop_backup()",
        label.display()
    )]
    AnotherBackup { label: PathBuf, name: String, since: String },
    #[error(
        "the server in {} says that an online backup is in progress, but it has no backup_label that tells whose. If what started it is gone, end it by select pg_stop_backup()", .0.display()
    )]
    UnknownBackup(PathBuf),
    #[error(
        "the online backup was ended by another pg_stop_backup() before the copy was complete: find out what called it"
    )]
    BackupLost,
    #[error("the backup's label: {0}")]
    Label(#[from] BadBackupLabel),
    #[error("the server answered with a position that is none: {0}")]
    Position(#[from] NotAnLsn),
}

impl ServerError {
    /// Whether the server is there but takes no connections yet (or, stopping, no more).
    pub fn is_starting(&self) -> bool {
        match self {
            ServerError::Connect { source, .. } => {
                source.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
            }
            ServerError::Nowhere { tried, .. } => {
                tried.iter().any(|(_, error)| error.is_starting())
            }
            _ => false,
        }
    }

    /// What to set, so that the server can be asked; the most telling of several failures counts.
    pub fn advice(&self) -> &'static str {
        self.remedy().1
    }

    fn remedy(&self) -> (u32, &'static str) {
        const WHERE: (u32, &str) =
            (1, "set PGPORT and PGHOST in local/environment.sh to where the server listens");
        const WHO: (u32, &str) = (
            3,
            "set PGUSER and PGPASSWORD in local/environment.sh, or let the user in by pg_hba.conf",
        );
        const DATABASE: (u32, &str) =
            (3, "set PGDATABASE in local/environment.sh to a database of the server");
        const LOG: (u32, &str) = (2, "the server's log may say more");
        match self {
            ServerError::Nowhere { tried, .. } => {
                let all = tried.iter().map(|(_, error)| error.remedy());
                all.max_by_key(|remedy| remedy.0).unwrap_or(WHERE)
            }
            ServerError::AnotherServer { .. }
            | ServerError::AnotherMachine(_)
            | ServerError::AnotherCluster(_) => WHERE,
            ServerError::Connect { source, .. } => match source.code().map(SqlState::code) {
                // invalid_authorization_specification and its kin
                Some(code) if code.starts_with("28") => WHO,
                Some("3D000") => DATABASE,
                Some(_) => LOG,
                None if is_io(source) => WHERE,
                // It asks for a password, or for what this client does not know.
                None => WHO,
            },
            _ => LOG,
        }
    }
}

fn is_io(error: &postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

/// What came of each, with what names its place.
fn each(tried: &[(&'static str, ServerError)]) -> String {
    let each = tried.iter().map(|(from, error)| match error {
        ServerError::Connect { to, source } => format!("at {to} (from {from}): {}", told(source)),
        error => format!("from {from}: {error}"),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The server's own words, where it said some: the crate prints only "db error".
fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(cause) if cause.is::<io::Error>() => cause.to_string(),
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
