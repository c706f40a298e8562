//! A pair that was set up with 2warm's scripts, and our commands in their place one at a time. The scripts are
//! stand-ins: what they send, where, under which names and how they source configSetup is as in the originals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod failovers;
mod flush;
mod orders;
mod pair;
mod stand_ins;
