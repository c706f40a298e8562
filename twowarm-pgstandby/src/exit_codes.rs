//! Exit codes: the original's, and one for errors that the original does not know.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | restored; help or version printed; dialect 8.3: also if copying failed |
//! | 1 | not restored, recovery ends: triggered, timed out, history file not found, copying failed |
//! | 2 | wrong arguments, or the archive directory does not exist; recovery ends |
//! | 3 | the archived file is larger than a segment; recovery ends |
//! | 200 | the server stops: a wrong value of a new option, a bug, or the server that asked has exited; dialect 8.3: the trigger file can't be deleted |
//!
//! SIGQUIT terminates the program by SIGINT, SIGTERM by SIGTERM.

/// The file was restored.
pub const RESTORED: u8 = 0;
/// The file was not restored, and recovery may end.
pub const NOT_RESTORED: u8 = 1;
/// Wrong arguments, or the archive directory does not exist.
pub const USAGE: u8 = 2;
/// The archived file is larger than a segment.
pub const TOO_LARGE: u8 = 3;
/// The server must stop. The code is above 125, since 1 to 125 end recovery.
pub const STOP_SERVER: u8 = 200;
