//! Sessions on a PostgreSQL server, the statements of each version, and online backups.

mod addresses;
mod backup;
mod connect;
mod error;
mod exclusive_backup;
mod label_files;
mod running_role;
mod session;
mod statements;

pub use backup::{Backup, FinishedBackup};
pub use connect::Login;
pub(crate) use connect::runs_without_pid_file;
pub use error::ServerError;
pub use exclusive_backup::ExclusiveBackup;
pub use running_role::running_role;
pub use session::{Canceller, Session};
