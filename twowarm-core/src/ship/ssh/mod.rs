//! Starting a far command over ssh as a library call: no ssh process carries the data, no shell quotes a
//! name, nothing prompts.
//!
//! OpenSSH's own programs answer the questions about its files: `ssh -G` evaluates the user's
//! configuration, `ssh-keygen -F` looks up host keys. An option that libssh2 can't follow is an error. The
//! host key is always checked.

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
