use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Uid;
use postgres::error::SqlState;

use crate::Retryable;
use crate::data_directory::IdentityError;
use crate::file_error::FileError;
use crate::wal::{BadBackupLabel, NotAnLsn};

/// Why a server could not be queried, or a backup failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data directory's own files can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No server is running in this data directory.
    #[error("no server is running in \"{}\". HINT: start it", .0.display())]
    NotRunning(PathBuf),
    /// A connection failed.
    #[error("connection to server at \"{to}\" failed: {}", text_of(error))]
    Connect {
        /// The address.
        to: String,
        /// Why.
        error: postgres::Error,
    },
    /// A server accepted a connection and did not answer.
    #[error("server at \"{to}\" did not answer within {} s", limit.as_secs())]
    ConnectTimeout {
        /// The address.
        to: String,
        /// The time limit.
        limit: Duration,
    },
    /// A statement did not end.
    #[error("server did not answer \"{sql}\" within {} s", limit.as_secs())]
    StatementTimeout {
        /// The statement.
        sql: String,
        /// The time limit.
        limit: Duration,
    },
    /// No thread could be started for a query.
    #[error("could not start a thread: {0}")]
    Thread(io::Error),
    /// A statement failed.
    #[error("statement \"{sql}\" failed: {}", text_of(error))]
    Query {
        /// The statement.
        sql: String,
        /// Why.
        error: postgres::Error,
    },
    /// A statement returned no row, or not what it should.
    #[error("unexpected result of statement \"{0}\"")]
    UnexpectedResult(String),
    /// The server that answered runs in another data directory.
    #[error(
        "the server that answered runs in \"{}\", not in \"{}\"", found.display(), wanted.display()
    )]
    AnotherServer {
        /// The data directory whose server was wanted.
        wanted: PathBuf,
        /// The directory of the one that answered.
        found: PathBuf,
    },
    /// The server that answered runs on another machine, in a directory that may have the same name.
    #[error("the server that answered runs on another machine, not in \"{}\" on this one", .0.display())]
    AnotherMachine(PathBuf),
    /// No attempt to connect was successful.
    #[error("could not connect to the server of \"{}\": {}", data_directory.display(), list(tried))]
    NotReached {
        /// Its data directory.
        data_directory: PathBuf,
        /// Where each address came from, and why it failed.
        tried: Vec<(&'static str, ServerError)>,
    },
    /// The server that answered has another system identifier than the data directory.
    #[error("the server that answered belongs to another cluster than \"{}\"", .0.display())]
    AnotherCluster(PathBuf),
    /// An online backup is in progress, and twowarm did not start it.
    #[error(
        "an online backup is already in progress (label \"{name}\", started {since}, \"{}\" exists). HINT: wait until it ends; if the program that started it is gone, end it with \"select pg_stop_backup()\"",
        label.display()
    )]
    AnotherBackup {
        /// The backup_label file.
        label: PathBuf,
        /// The backup's label.
        name: String,
        /// When it was started.
        since: String,
    },
    /// An online backup is in progress, and there is no backup_label that would tell whose.
    #[error(
        "the server in \"{}\" is already in an online backup, but there is no backup_label. HINT: if the program that started the backup is gone, end it with \"select pg_stop_backup()\"", .0.display()
    )]
    UnknownBackup(PathBuf),
    /// Another session ended the online backup before the copy was complete, so that the copy may be inconsistent.
    #[error(
        "the online backup was ended by another pg_stop_backup() before the copy was complete. HINT: find out what called it, and repeat the copy"
    )]
    BackupLost,
    /// The server's backup label is invalid.
    #[error("invalid backup_label: {0}")]
    Label(BadBackupLabel),
    /// The server returned an invalid WAL position.
    #[error("invalid WAL position from the server: {0}")]
    Position(NotAnLsn),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> ServerError {
        ServerError::Thread(error)
    }
}

impl From<BadBackupLabel> for ServerError {
    fn from(error: BadBackupLabel) -> ServerError {
        ServerError::Label(error)
    }
}

impl From<NotAnLsn> for ServerError {
    fn from(error: NotAnLsn) -> ServerError {
        ServerError::Position(error)
    }
}

impl Retryable for ServerError {
    /// True if the server may answer later, or another backup may end.
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            ServerError::NotRunning(_)
                | ServerError::Connect { .. }
                | ServerError::ConnectTimeout { .. }
                | ServerError::StatementTimeout { .. }
                | ServerError::Thread(_)
                | ServerError::NotReached { .. }
                | ServerError::AnotherBackup { .. }
                | ServerError::BackupLost
        )
    }
}

impl ServerError {
    /// Whether the server is running but does not accept connections yet, or, while it shuts down, any more.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        match self {
            ServerError::Connect { error, .. } => {
                error.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
            }
            ServerError::NotReached { tried, .. } => {
                tried.iter().any(|(_, error)| error.is_starting())
            }
            _ => false,
        }
    }

    /// Whether the server rejects this client, whatever its password.
    #[cfg(feature = "ship")]
    pub(crate) fn is_rejected(&self) -> bool {
        match self {
            ServerError::Connect { error, .. } => {
                error.code().is_some_and(|code| code.code().starts_with("28"))
            }
            ServerError::NotReached { tried, .. } => {
                tried.iter().any(|(_, error)| error.is_rejected())
            }
            _ => false,
        }
    }

    /// A hint for the user: what to set so that the server can be queried. Of several failures, the one that says
    /// most about the server decides.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.ranked_advice().1
    }

    fn ranked_advice(&self) -> (u32, &'static str) {
        const ADDRESS: (u32, &str) =
            (1, "set PGPORT and PGHOST in local/environment.sh to the server's address");
        const USER: (u32, &str) = (
            3,
            "set PGUSER and PGPASSWORD in local/environment.sh to a user with the LOGIN attribute whose password is not expired, and let that user in by pg_hba.conf",
        );
        const ROOT: (u32, &str) = (
            3,
            "run this command as the user that owns the data directory, not as root, or set PGUSER and PGPASSWORD in local/environment.sh",
        );
        const DATABASE: (u32, &str) =
            (3, "set PGDATABASE in local/environment.sh to a database of the server");
        const LOG: (u32, &str) = (2, "see the server's log");
        match self {
            ServerError::NotReached { tried, .. } => {
                let all = tried.iter().map(|(_, error)| error.ranked_advice());
                all.max_by_key(|advice| advice.0).unwrap_or(ADDRESS)
            }
            ServerError::AnotherServer { .. }
            | ServerError::AnotherMachine(_)
            | ServerError::AnotherCluster(_) => ADDRESS,
            ServerError::Connect { error, .. } => match error.code().map(SqlState::code) {
                // Class 28, Invalid Authorization Specification: also for a role without LOGIN.
                Some(code) if code.starts_with("28") && Uid::effective().is_root() => ROOT,
                Some(code) if code.starts_with("28") => USER,
                Some("3D000") => DATABASE,
                Some(_) => LOG,
                None if is_io(error) => ADDRESS,
                // The server asks for a password, or for an authentication method that this client does not have.
                None => USER,
            },
            _ => LOG,
        }
    }
}

fn is_io(error: &postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<io::Error>())
}

fn list(tried: &[(&'static str, ServerError)]) -> String {
    let each = tried.iter().map(|(from, error)| match error {
        ServerError::Connect { to, error } => {
            format!("\"{to}\" (from {from}): {}", text_of(error))
        }
        error => format!("(from {from}) {error}"),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The server's message, if it sent one: the crate itself displays only "db error".
fn text_of(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(message) => message.message().to_owned(),
        None => match error.source() {
            Some(cause) if cause.is::<io::Error>() => cause.to_string(),
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
