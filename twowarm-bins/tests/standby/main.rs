//! Making and promoting a standby, on real servers with a real sshd between them.

mod config;
mod copy;
mod distrib;
mod pair;
mod refusals;
mod tablespaces;
mod trigger;
