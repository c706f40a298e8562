//! Sessions on a PostgreSQL server, the statements of each version, and online backups.

mod addresses;
mod admission;
mod backup;
mod connect;
mod error;
mod exclusive_backup;
mod label_files;
mod running_role;
mod session;
mod statements;

pub use admission::let_sessions_in;
#[cfg(feature = "ship")]
pub(crate) use admission::{are_kept_out, keep_sessions_out, keep_sessions_out_of_stopped};
pub use backup::{Backup, FinishedBackup};
pub use connect::Login;
pub(crate) use connect::runs_without_pid_file;
pub use error::ServerError;
pub use exclusive_backup::ExclusiveBackup;
pub use running_role::running_role;
pub use session::{Canceller, Session};
