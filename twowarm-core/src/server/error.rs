use std::path::PathBuf;
use std::time::Duration;

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

/// The server's own words, where it said some: the crate prints only "db error".
fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
