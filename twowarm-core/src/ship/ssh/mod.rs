//! Starts a far command over ssh with libssh2. The data does not pass through an ssh process, and nothing
//! prompts for input.
//!
//! Two programs of OpenSSH are run to read its files: `ssh -G` evaluates the user's configuration, and
//! `ssh-keygen -F` looks up host keys. An option that libssh2 does not support is an error. The host key is
//! always checked.

mod agent;
mod connection;
mod error;
mod host_key;
mod key_file;
mod login;
mod target;
mod tcp;
mod transport;

pub use error::{Address, KnownHostsLine, SshError};
pub use transport::SshTransport;
pub(super) use transport::shell_safe;
