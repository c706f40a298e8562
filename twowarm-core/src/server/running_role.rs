use super::{Login, ServerError, Session};
use crate::data_directory::{Role, role_of, running_server};
use crate::node::Install;

/// What the server is that runs on this node: the one in its data directory, else whichever answers where
/// clients look by themselves.
///
/// A server that can't be asked, such as one that is still starting, is what its data directory says.
pub fn running_role(install: &Install, login: &Login) -> Result<Option<Role>, ServerError> {
    let of_session = |mut session: Session| {
        Ok::<_, ServerError>(if session.in_recovery()? { Role::Standby } else { Role::Primary })
    };
    if let Some(pgdata) = install.pgdata.as_deref()
        && running_server(pgdata)?.is_some()
    {
        let asked = Session::open(pgdata, login).and_then(of_session);
        return asked.or_else(|_| Ok(role_of(pgdata)?)).map(Some);
    }
    let answering = Session::of_clients(login);
    answering.map(of_session).transpose()
}
