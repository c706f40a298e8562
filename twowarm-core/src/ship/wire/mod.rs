//! The wire protocol: a greeting, then frames, then messages in the frames.
//!
//! Everything here works on byte slices or on plain [`Read`](std::io::Read) and
//! [`Write`](std::io::Write), trusts nothing that it reads, and knows nothing of ssh.

mod error;
mod fields;
mod frame;
mod greeting;
mod message;
#[cfg(test)]
mod tests;

pub use error::WireError;
pub use fields::{Fields, Payload};
pub use frame::{Frame, MAX_PAYLOAD, read_frame, write_frame};
pub use greeting::{VERSION, read_greeting, write_greeting};
pub use message::{
    Codec, FILE_CHUNK, FIRST_OWN_KIND, FileStart, Hello, Message, Purpose, Refusal, RefusalCode,
    SESSION, Stored, Welcome,
};
