//! Sessions on a PostgreSQL server, the statements of each version, and online backups.

mod addresses;
mod backup;
mod error;
mod exclusive_backup;
mod label_files;
mod running_role;
mod session;
mod statements;

pub use backup::{Backup, FinishedBackup};
pub use error::ServerError;
pub use exclusive_backup::ExclusiveBackup;
pub use running_role::running_role;
pub use session::{Canceller, Login, Session, runs_without_pid_file};
