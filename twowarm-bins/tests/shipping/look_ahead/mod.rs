//! The process that ships the files behind the one that the server archives.

mod backlog;
mod content;
mod endings;
mod server;
