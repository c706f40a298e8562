//! The wire protocol: a greeting, then frames that contain messages.
//!
//! All functions work on byte slices or on [`Read`](std::io::Read) and [`Write`](std::io::Write), and validate
//! all that they read.

mod capabilities;
mod decoder;
mod encoder;
mod error;
mod fields;
mod frame;
mod greeting;
mod hello;
mod message;
#[cfg(test)]
mod tests;

pub use crate::archive::Stored;
pub use capabilities::{Capabilities, Codec, Features, MAX_WINDOW};
pub use decoder::{DecodeError, Decoder, Piece};
pub use encoder::{EncodeError, Encoder, SendFrame};
pub use error::WireError;
pub(crate) use fields::{Fields, Payload};
pub use frame::{Frame, MAX_PAYLOAD, read_frame, write_frame};
pub use greeting::{VERSION, read_greeting, write_greeting};
pub use hello::{Hello, Purpose};
pub use message::{
    FILE_CHUNK, FIRST_OWN_KIND, FileStart, Message, Refusal, RefusalCode, SESSION, Welcome,
};
