use std::time::Duration;

use postgres::{CancelToken, Client, NoTls, SimpleQueryMessage};

use super::ServerError;
use crate::limits::within;
use crate::version::PgMajor;

/// A session on the server of one data directory. It uses the simple query protocol, which every version
/// supports.
///
/// A statement that is not answered within the time limit ends the session: a server that hangs does not close
/// its connections.
pub struct Session {
    /// None after a statement was not answered in time.
    client: Option<Client>,
    major: PgMajor,
    time_limit: Duration,
}

/// Cancels the statement that a session is waiting for.
pub struct Canceller(Option<CancelToken>);

impl Canceller {
    /// Sends the request, and waits at most 1 second for the server to accept it.
    pub fn cancel(&self) {
        if let Some(token) = self.0.clone() {
            let _ = within(Duration::from_secs(1), move || token.cancel_query(NoTls));
        }
    }
}

impl Session {
    /// The session of a new connection, after asking the server's version.
    pub(super) fn new(client: Client, time_limit: Duration) -> Result<Session, ServerError> {
        let major = PgMajor::from_version_num(0);
        let mut session = Session { client: Some(client), major, time_limit };
        let question = "show server_version_num";
        let number = session.value(question)?.parse();
        let number = number.map_err(|_| ServerError::UnexpectedResult(question.into()))?;
        session.major = PgMajor::from_version_num(number);
        // Not as a connection parameter: servers that don't have the setting would refuse the connection.
        if let Some(name) = session.major.name_session() {
            session.rows(name)?;
        }
        Ok(session)
    }

    /// The server's version.
    #[must_use]
    pub fn major(&self) -> PgMajor {
        self.major
    }

    /// The time limit of a statement.
    pub(super) fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// The columns of the first row; NULL is an empty string.
    ///
    /// # Errors
    /// As [`rows`](Session::rows), and if there is no row.
    pub fn row(&mut self, sql: &str) -> Result<Vec<String>, ServerError> {
        first(self.rows(sql)?, sql)
    }

    /// All rows of a statement.
    ///
    /// # Errors
    /// If the statement fails, or is not answered within the time limit; then all later ones fail as well.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
        let timeout = || ServerError::StatementTimeout { sql: sql.into(), limit: self.time_limit };
        let mut client = self.client.take().ok_or_else(timeout)?;
        let cancel = client.cancel_token();
        let text = sql.to_owned();
        let result = within(self.time_limit, move || (rows(&mut client, &text), client))?;
        let Some((rows, client)) = result else {
            // Not waited for: it only works if the server still listens.
            let _ = within(Duration::ZERO, move || cancel.cancel_query(NoTls));
            return Err(timeout());
        };
        self.client = Some(client);
        rows
    }

    /// What cancels a statement of this session, from another thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller(self.client.as_ref().map(Client::cancel_token))
    }

    /// The first row of a statement without a time limit, such as one that waits for a checkpoint.
    pub(super) fn row_without_limit(&mut self, sql: &str) -> Result<Vec<String>, ServerError> {
        let timeout = || ServerError::StatementTimeout { sql: sql.into(), limit: self.time_limit };
        first(rows(self.client.as_mut().ok_or_else(timeout)?, sql)?, sql)
    }

    /// A statement without a time limit whose rows are not of interest, such as a checkpoint.
    pub(crate) fn execute_without_limit(&mut self, sql: &str) -> Result<(), ServerError> {
        let timeout = || ServerError::StatementTimeout { sql: sql.into(), limit: self.time_limit };
        rows(self.client.as_mut().ok_or_else(timeout)?, sql).map(drop)
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// As [`row`](Session::row).
    pub fn value(&mut self, sql: &str) -> Result<String, ServerError> {
        first(self.row(sql)?, sql)
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// As [`row`](Session::row).
    pub fn setting(&mut self, name: &'static str) -> Result<String, ServerError> {
        self.value(&format!("show {name}"))
    }

    /// Whether the server is in recovery.
    ///
    /// # Errors
    /// As [`row`](Session::row).
    pub fn in_recovery(&mut self) -> Result<bool, ServerError> {
        Ok(self.value(self.major.in_recovery())? == "t")
    }

    /// Commits a transaction that writes.
    pub(crate) fn commit_a_write(&mut self) -> Result<(), ServerError> {
        if let Some(alone) = self.major.commit_alone() {
            self.rows(alone)?;
        }
        self.rows(self.major.committed_write()).map(drop)
    }
}

fn first<T>(rows: Vec<T>, sql: &str) -> Result<T, ServerError> {
    rows.into_iter().next().ok_or_else(|| ServerError::UnexpectedResult(sql.into()))
}

fn rows(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>, ServerError> {
    let failed = |error| ServerError::Query { sql: sql.into(), error };
    let messages = client.simple_query(sql).map_err(failed)?;
    let columns = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(columns).collect())
}
