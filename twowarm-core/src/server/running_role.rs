use std::path::Path;

use super::{Login, ServerError, Session};
use crate::data_directory::{Role, role_of, running_server};

/// The role of the server that runs on this node: the one in the data directory, else the one that a client
/// reaches by default; `None` if no server answers.
///
/// The role of a server that can't be queried, such as one that is starting up, is the one of its data
/// directory.
///
/// # Errors
/// If the data directory's files can't be read, or the server of a client does not answer the query.
pub fn running_role(
    data_directory: Option<&Path>,
    login: &Login,
) -> Result<Option<Role>, ServerError> {
    let of_session = |mut session: Session| {
        Ok::<_, ServerError>(if session.in_recovery()? { Role::Standby } else { Role::Primary })
    };
    if let Some(pgdata) = data_directory
        && running_server(pgdata)?.is_some()
    {
        let answer = Session::open(pgdata, login).and_then(of_session);
        return answer.or_else(|_| Ok(role_of(pgdata)?)).map(Some);
    }
    Session::of_clients(login).map(of_session).transpose()
}
