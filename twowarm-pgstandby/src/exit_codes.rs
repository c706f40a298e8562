//! Exit codes: the original's, to the letter, and one for what the original does not have.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | restored; help or version shown; dialect 8.3: also when copying failed |
//! | 1 | recovery may end: triggered, timed out, no such history, copying failed |
//! | 2 | bad arguments, or no such archive directory |
//! | 3 | the archived file is larger than a segment |
//! | 200 | the server is to stop: an error in what is new here, a bug, the server is gone; dialect 8.3: the trigger file can't be deleted |
//!
//! SIGQUIT ends it by SIGINT, SIGTERM by SIGTERM.

/// Restored.
pub const RESTORED: u8 = 0;
/// No such file; recovery may end.
pub const NOT_RESTORED: u8 = 1;
/// Bad arguments, or no archive.
pub const USAGE: u8 = 2;
/// Larger than a segment.
pub const TOO_LARGE: u8 = 3;
/// The server is to stop. Above 125, since every code from 1 to 125 ends its recovery.
pub const STOP_SERVER: u8 = 200;
