//! Starting a far command over ssh, as a library call: no ssh process, no shell, no prompt.
//!
//! The user's ssh configuration is honoured as far as a blocking libssh2 session can; what can't be is
//! an error rather than a surprise. The host key is always checked.

mod agent;
mod connection;
mod error;
mod host_key;
mod key_file;
mod login;
mod target;
mod tcp;
mod user_config;

pub use error::{Place, SshError};
pub use target::SshTransport;

/// The user's ssh configuration, where ssh has to be told of it.
pub(crate) fn own_configuration() -> Option<std::path::PathBuf> {
    user_config::LocalUser::current().ok()?.configuration()
}
